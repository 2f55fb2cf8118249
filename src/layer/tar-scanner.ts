import { showBytes } from '../bytes.js';
import type { FormatErrorCode } from '../error-codes.js';
import { FormatError } from '../errors.js';
import { TAR_EXTENSION_LIMIT } from '../limits.js';
import { INLINE_LIMIT, type TarEntry } from './entry.js';
import { parsePax } from './pax.js';
import { closeChunk, type FdChunk, type NamedChunk } from './stream.js';
import {
  BLOCK_SIZE,
  checkHeader,
  hasMagic,
  headerSize,
  headerType,
  parseEntry,
  type Extensions,
} from './tar-header.js';

/**
 * What a scanner tells about a tar, in the order of its bytes. `inline`, `content` and `reference` together give every
 * byte exactly once. The buffers are parts of those that were fed in; nothing is copied.
 */
export interface TarVisitor {
  /**
   * The header of an entry is complete. Called before anything of its content.
   * @param contentAt where the header ends in the tar, and its content begins
   */
  entry(entry: TarEntry, contentAt: number): void;
  /**
   * The bytes that stay inline in a splitstream: headers, extension records, padding, content of at most INLINE_LIMIT
   * bytes, end blocks and whatever follows them. The calls' boundaries mean nothing.
   */
  inline(bytes: Buffer): void;
  /**
   * The whole content of a file of 1 to INLINE_LIMIT bytes that came as bytes. These are also told to `inline`; here
   * they are valid during the call only.
   */
  smallContent(bytes: Buffer, entry: TarEntry): void;
  /**
   * A piece of the content of a file of more than INLINE_LIMIT bytes that came as bytes. `last` marks its last piece.
   */
  content(bytes: Buffer, entry: TarEntry, last: boolean): void;
  /**
   * The whole content of a file that came by reference, of the size the entry has, which may be INLINE_LIMIT or less.
   * The visitor owns the chunk from here on.
   */
  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void;
}

/** What the next bytes are. `end` is one zero block seen, `trailing` two: what follows is not looked at any more. */
type Stage = 'header' | 'extension' | 'global' | 'small' | 'content' | 'padding' | 'end' | 'trailing';

/**
 * Takes the pieces of one tar in order and tells a visitor what they are. Pieces may be cut anywhere. Understands V7,
 * ustar, PAX and GNU headers; global PAX headers count as bytes without meaning, as in cfsctl. All methods throw
 * FormatError with the place, after which the scanner must not be used any more.
 */
export class TarScanner {
  readonly #visitor: TarVisitor;
  #stage: Stage = 'header';
  /** How many bytes of this stage are still to come. */
  #due = BLOCK_SIZE;
  #offset = 0;
  /** Bytes of a header, of extension records or of small content that came in several pieces. */
  #gathered = Buffer.allocUnsafeSlow(BLOCK_SIZE);
  #gatheredLength = 0;
  #entry: TarEntry | undefined;
  #extensions: Extensions = {};
  #extensionKind = '';
  #extensionBytes = 0;
  /** Where the first extension record of the coming entry is; -1 without one. */
  #extensionStart = -1;
  /** Padding that follows the extension record or content. */
  #padding = 0;

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  /** How many bytes of tar have been seen, content by reference included. */
  get offset(): number {
    return this.#offset;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** How many bytes, at least 1, will pass before `stage` can change. */
  get due(): number {
    return this.#stage === 'trailing' ? Infinity : this.#due;
  }

  /** Takes the next bytes of the tar; they may be content, too. */
  bytes(piece: Buffer): void {
    const start = this.#offset;
    let inlineFrom = 0;
    let pos = 0;
    while (pos < piece.length) {
      if (this.#stage === 'content') {
        if (pos > inlineFrom) this.#visitor.inline(piece.subarray(inlineFrom, pos));
        const stop = Math.min(piece.length, pos + this.#due);
        this.#due -= stop - pos;
        this.#visitor.content(piece.subarray(pos, stop), this.#entry!, this.#due === 0);
        pos = stop;
        inlineFrom = stop;
        if (this.#due === 0) this.#enterPadding();
      } else {
        pos = this.#inline(piece, pos, start);
      }
      this.#offset = start + pos;
    }
    if (pos > inlineFrom) this.#visitor.inline(inlineFrom === 0 ? piece : piece.subarray(inlineFrom));
  }

  /** Takes the content that is due as a reference, and with it the ownership of the chunk, also when it throws. */
  reference(chunk: FdChunk | NamedChunk): void {
    const entry = this.#entry;
    const isDue = this.#stage === 'content' || this.#stage === 'small';
    if (!isDue || entry === undefined || this.#due !== entry.size || chunk.size !== entry.size) {
      closeChunk(chunk);
      throw this.#error(
        'TAR_REFERENCE',
        isDue && entry !== undefined && this.#due === entry.size
          ? `the tar header announces ${entry.size} bytes, the file that comes for it has ${chunk.size}`
          : 'a file comes where the tar has no place for one',
      );
    }
    this.#offset += entry.size;
    this.#enterPadding();
    this.#visitor.reference(chunk, entry);
  }

  /** Call when the tar is over. A missing end marker is accepted, anything cut is not. */
  end(): void {
    const cut =
      this.#stage === 'header' || this.#stage === 'end' ? this.#gatheredLength > 0 : this.#stage !== 'trailing';
    if (cut) throw this.#error('TAR_TRUNCATED', 'the tar ends in the middle of an entry');
    if (this.#extensionStart >= 0)
      throw this.#error('TAR_EXTENSION', 'the tar ends after an extension header without its entry');
  }

  /** Handles bytes of any stage but `content`, from `pos`; returns the position after them. */
  #inline(piece: Buffer, pos: number, start: number): number {
    if (this.#stage === 'trailing') return piece.length;
    const stop = Math.min(piece.length, pos + this.#due);
    if (this.#stage === 'padding' || this.#stage === 'global') {
      this.#due -= stop - pos;
      if (this.#due === 0) this.#enterPadding();
      return stop;
    }
    const isWhole = stop - pos === this.#due;
    if (isWhole && this.#gatheredLength === 0) {
      this.#complete(piece, pos, stop, start + stop);
      return stop;
    }
    piece.copy(this.#gathered, this.#gatheredLength, pos, stop);
    this.#gatheredLength += stop - pos;
    this.#due -= stop - pos;
    if (isWhole) {
      const length = this.#gatheredLength;
      this.#gatheredLength = 0;
      this.#complete(this.#gathered, 0, length, start + stop);
    }
    return stop;
  }

  /** `data` from `from` to `to` is a whole header, record or small content that ends at `offset` in the tar. */
  #complete(data: Buffer, from: number, to: number, offset: number): void {
    if (this.#stage === 'small') {
      const entry = this.#entry!;
      this.#enterPadding();
      this.#visitor.smallContent(data.subarray(from, to), entry);
    } else if (this.#stage === 'extension') {
      this.#extension(data.subarray(from, to), offset - (to - from));
      this.#enterPadding();
    } else {
      this.#header(data, from, offset - BLOCK_SIZE);
    }
  }

  #header(block: Buffer, at: number, offset: number): void {
    this.#due = BLOCK_SIZE;
    if (!checkHeader(block, at, offset)) {
      this.#stage = this.#stage === 'end' ? 'trailing' : 'end';
      return;
    }
    // Go's tar refuses this, GNU tar stops at the zero block: entries after it would be seen by half of the tools.
    if (this.#stage === 'end')
      throw new FormatError('TAR_ZERO_BLOCK', 'a single block of zeros between tar entries', { place: { offset } });
    const type = headerType(block, at);
    if ((type === 'x' || type === 'L' || type === 'K') && hasMagic(block, at))
      this.#enterExtension(type, headerSize(block, at, offset), offset);
    else if (type === 'g') this.#enterGlobal(headerSize(block, at, offset), offset);
    else this.#enterEntry(block, at, offset);
  }

  #enterExtension(kind: 'x' | 'L' | 'K', size: number, offset: number): void {
    const { pax, longName, longLink } = this.#extensions;
    if ((kind === 'x' ? pax : kind === 'L' ? longName : longLink) !== undefined) {
      throw new FormatError('TAR_EXTENSION', `two extension headers of type "${kind}" for one tar entry`, {
        place: { offset },
      });
    }
    this.#extensionBytes += size;
    if (this.#extensionBytes > TAR_EXTENSION_LIMIT) throw tooLarge(offset);
    if (this.#extensionStart < 0) this.#extensionStart = offset;
    this.#extensionKind = kind;
    this.#padding = paddingOf(size);
    if (size === 0) {
      this.#extension(Buffer.alloc(0), offset + BLOCK_SIZE);
      return;
    }
    if (size > this.#gathered.length) this.#gathered = Buffer.allocUnsafeSlow(size);
    this.#stage = 'extension';
    this.#due = size;
  }

  #extension(data: Buffer, offset: number): void {
    if (this.#extensionKind === 'x') {
      this.#extensions.pax = parsePax(data, offset);
      return;
    }
    const nul = data.indexOf(0);
    const name = data.toString('latin1', 0, nul < 0 ? data.length : nul);
    if (this.#extensionKind === 'L') this.#extensions.longName = name;
    else this.#extensions.longLink = name;
  }

  #enterGlobal(size: number, offset: number): void {
    // Tools differ in whether the records before it still count for the entry after it.
    if (this.#extensionStart >= 0)
      throw new FormatError('TAR_EXTENSION', 'a global header between an extension header and its tar entry', {
        place: { offset },
      });
    if (size > TAR_EXTENSION_LIMIT) throw tooLarge(offset);
    this.#padding = paddingOf(size);
    this.#due = size;
    this.#stage = size === 0 ? 'header' : 'global';
    if (size === 0) this.#due = BLOCK_SIZE;
  }

  #enterEntry(block: Buffer, at: number, offset: number): void {
    const hasExtensions = this.#extensionStart >= 0;
    const entry = parseEntry(block, at, this.#extensions, hasExtensions ? this.#extensionStart : offset);
    if (hasExtensions) {
      this.#extensions = {};
      this.#extensionBytes = 0;
      this.#extensionStart = -1;
      if (this.#gathered.length > BLOCK_SIZE) this.#gathered = Buffer.allocUnsafeSlow(BLOCK_SIZE);
    }
    if (entry.size > Number.MAX_SAFE_INTEGER - offset - 2 * BLOCK_SIZE)
      throw new FormatError('TAR_NUMBER', 'tar entry too large', { place: { entry: showBytes(entry.path), offset } });
    this.#entry = entry;
    if (entry.size > 0) {
      this.#stage = entry.size > INLINE_LIMIT ? 'content' : 'small';
      this.#due = entry.size;
      this.#padding = paddingOf(entry.size);
    } else {
      this.#stage = 'header';
    }
    this.#visitor.entry(entry, offset + BLOCK_SIZE);
  }

  /** After content or a record: its padding, and after that the next header. */
  #enterPadding(): void {
    this.#stage = this.#padding > 0 ? 'padding' : 'header';
    this.#due = this.#padding > 0 ? this.#padding : BLOCK_SIZE;
    this.#padding = 0;
  }

  #error(code: FormatErrorCode, message: string): FormatError {
    const entry = this.#entry;
    const place = { offset: this.#offset, ...(entry === undefined ? {} : { entry: showBytes(entry.path) }) };
    return new FormatError(code, message, { place });
  }
}

function paddingOf(size: number): number {
  return (BLOCK_SIZE - (size % BLOCK_SIZE)) % BLOCK_SIZE;
}

function tooLarge(offset: number): FormatError {
  return new FormatError('TAR_EXTENSION', `tar extension records of more than ${TAR_EXTENSION_LIMIT} bytes`, {
    place: { offset },
  });
}
