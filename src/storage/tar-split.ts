import * as z from 'zod';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Chunk } from '../layer/stream.js';

/**
 * tar-split: the recipe of a byte-exact tar, one JSON object per line. A segment (type 2) is tar bytes in base64;
 * a file (type 1) stands for `size` bytes of the named file. Format: vbatts/tar-split, tar/storage/entry.go.
 */

/**
 * Says where the content of a file lies.
 * @param name clean name below the layer's root
 * @param size bytes, > 0
 */
export type ContentOf = (name: ByteString, size: number) => Chunk;

/** Tar headers with the largest extension records that tar-split's own reader accepts stay far below this. */
const MAX_LINE = 16 << 20;

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const EQUALS = 0x3d;
const SEGMENT_HEAD = Buffer.from('{"type":2,"payload":"', 'latin1');
const SEGMENT_TAIL = /^(?:,"position":\d{1,15})?\}$/;
const FILE_LINE =
  /^\{"type":1,"name":"([^"\\]*)"(?:,"size":([1-9]\d{0,14}))?,"payload":(?:null|"[A-Za-z0-9+/]{11}=")(?:,"position":\d{1,15})?\}$/;
/** Lines of the usual shape with a name longer than this are parsed as any other JSON. */
const FILE_LINE_LIMIT = 16 << 10;

const lineSchema = z.union([
  z.object({ type: z.literal(2), payload: z.string().nullish() }),
  z.object({
    type: z.literal(1),
    name: z.string().optional(),
    name_raw: z.base64().optional(),
    size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  }),
]);

/**
 * Turns blocks of decompressed tar-split text into the chunks of a layer. Lines in the exact shape that Go's encoder writes
 * are scanned by hand, everything else goes through JSON.parse; the CRC of files is ignored because the diff_id covers
 * all of it. Adjacent segments become one chunk.
 */
export class TarSplitParser {
  readonly #layer: string;
  readonly #contentOf: ContentOf;
  readonly #expectedLength: number | undefined;
  #carry: Buffer[] = [];
  #carryLength = 0;
  /** Where the line being parsed starts in the decompressed text. */
  #offset = 0;
  #tarLength = 0;
  #out = Buffer.alloc(0);
  #outStart = 0;
  #outEnd = 0;
  #chunks: Chunk[] = [];

  /**
   * @param layer name for error messages
   * @param expectedLength length of the tar in bytes when the store knows it; reading stops as soon as it is passed
   */
  constructor(layer: string, contentOf: ContentOf, expectedLength?: number) {
    this.#layer = layer;
    this.#contentOf = contentOf;
    this.#expectedLength = expectedLength;
  }

  /** Takes one block of text and returns the chunks of the lines it completes. @throws FormatError `BAD_TAR_SPLIT` */
  push(block: Buffer): Chunk[] {
    this.#out = Buffer.allocUnsafeSlow(decodedLimit(this.#carryLength + block.length));
    let start = 0;
    for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE, start)) {
      if (this.#carryLength > 0) {
        this.#keep(block.subarray(start, end));
        this.#carriedLine();
      } else {
        this.#line(block, start, end);
      }
      start = end + 1;
    }
    if (start < block.length) this.#keep(block.subarray(start));
    return this.#take();
  }

  /** Returns what is left. @throws FormatError when the text or the tar ends early */
  finish(): Chunk[] {
    this.#out = Buffer.allocUnsafeSlow(decodedLimit(this.#carryLength));
    if (this.#carryLength > 0) this.#carriedLine();
    if (this.#expectedLength !== undefined && this.#tarLength !== this.#expectedLength) {
      throw this.#bad(`it describes a tar of ${this.#tarLength} bytes, the store recorded ${this.#expectedLength}`);
    }
    return this.#take();
  }

  #keep(part: Buffer): void {
    this.#carryLength += part.length;
    if (this.#carryLength > MAX_LINE) throw this.#bad(`a line is longer than ${MAX_LINE} bytes`);
    this.#carry.push(part);
  }

  #carriedLine(): void {
    const line = Buffer.concat(this.#carry, this.#carryLength);
    this.#carry = [];
    this.#carryLength = 0;
    this.#line(line, 0, line.length);
  }

  #line(block: Buffer, start: number, end: number): void {
    if (!this.#usualLine(block, start, end)) this.#anyLine(block.toString('utf8', start, end));
    this.#offset += end - start + 1;
  }

  #usualLine(block: Buffer, start: number, end: number): boolean {
    if (startsWith(block, start, end, SEGMENT_HEAD)) {
      const from = start + SEGMENT_HEAD.length;
      const quote = block.indexOf(QUOTE, from);
      if (quote < from || quote >= end) return false;
      if (!SEGMENT_TAIL.test(block.toString('latin1', quote + 1, Math.min(end, quote + 64)))) return false;
      this.#segment(block, from, quote);
      return true;
    }
    if (end - start > FILE_LINE_LIMIT) return false;
    const match = FILE_LINE.exec(block.toString('latin1', start, end));
    if (!match) return false;
    if (match[2] !== undefined) this.#file(match[1]!, Number(match[2]));
    return true;
  }

  #anyLine(text: string): void {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw this.#bad('a line is not JSON', cause);
    }
    const { success, data, error } = lineSchema.safeParse(json);
    if (!success) throw this.#bad('a line is neither a file nor a segment', error);
    if (data.type === 2) {
      const payload = Buffer.from(data.payload ?? '', 'latin1');
      this.#segment(payload, 0, payload.length);
    } else if (data.size !== undefined && data.size > 0) {
      const raw = data.name_raw;
      if (raw === undefined && data.name === undefined) throw this.#bad('a file has no name');
      this.#file(raw !== undefined ? Buffer.from(raw, 'base64').toString('latin1') : bytesOf(data.name!), data.size);
    }
  }

  #file(rawName: ByteString, size: number): void {
    const name = cleanName(rawName);
    // A NUL would end the name early in the system call and reach another file.
    if (name === '' || name.includes('\0')) throw this.#bad(`"${showBytes(rawName)}" cannot be the name of a file`);
    this.#count(size);
    this.#closeBytes();
    this.#chunks.push(this.#contentOf(name, size));
  }

  #segment(block: Buffer, start: number, end: number): void {
    let size = ((end - start) / 4) * 3;
    if (end > start && block[end - 1] === EQUALS) size -= block[end - 2] === EQUALS ? 2 : 1;
    // Node skips what is not base64, so anything wrong shows as too few bytes.
    const written = Number.isInteger(size) ? this.#out.write(block.toString('latin1', start, end), this.#outEnd, size, 'base64') : -1;
    if (written !== size) throw this.#bad('a segment is not base64');
    this.#outEnd += size;
    this.#count(size);
  }

  #count(size: number): void {
    this.#tarLength += size;
    const limit = this.#expectedLength ?? Number.MAX_SAFE_INTEGER;
    if (this.#tarLength > limit) throw this.#bad(`it describes more than the ${limit} bytes the tar can have`);
  }

  #closeBytes(): void {
    if (this.#outEnd === this.#outStart) return;
    this.#chunks.push({ kind: 'bytes', bytes: this.#out.subarray(this.#outStart, this.#outEnd) });
    this.#outStart = this.#outEnd;
  }

  #take(): Chunk[] {
    this.#closeBytes();
    this.#outStart = this.#outEnd = 0;
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  #bad(problem: string, cause?: unknown): FormatError {
    return new FormatError('BAD_TAR_SPLIT', `tar-split data is damaged: ${problem}`, {
      cause,
      place: { layer: this.#layer, offset: this.#offset },
    });
  }
}

function decodedLimit(textLength: number): number {
  return Math.ceil(textLength / 4) * 3;
}

const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** What Go's `path.Clean("/" + name)` gives, without the leading slash: where the driver put the entry. */
export function cleanName(name: ByteString): ByteString {
  if (!UNCLEAN.test(name)) return name;
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function startsWith(block: Buffer, start: number, end: number, head: Buffer): boolean {
  if (end - start < head.length) return false;
  for (let i = 0; i < head.length; i++) if (block[start + i] !== head[i]) return false;
  return true;
}
