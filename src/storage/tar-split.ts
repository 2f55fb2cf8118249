import * as z from 'zod';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import type { Chunk } from '../layer/stream.js';
import { TAR_SPLIT } from './tar-split-format.js';
import { SegmentHeader } from './tar-split-header.js';
import { TAR_SPLIT_LINE_LIMIT } from '../limits.js';
import { loadNative } from '../native.js';

/**
 * Says where the content of a file lies.
 * @param name clean name below the layer's root
 * @param size bytes, > 0
 */
export type ContentOf = (name: ByteString, size: number) => Chunk;

/**
 * Is shown the bytes of each segment that is more than the header of one file, `from` to `to`, and where they are in
 * the tar; valid during the call only.
 */
export type OnSegment = (bytes: Buffer, from: number, to: number, offset: number) => void;

interface NativeBase64 {
  /** @returns bytes written to `into` from `at` on, or -1 when the text is not base64 */
  decodeBase64(text: Buffer, start: number, end: number, into: Buffer, at: number): number;
}

const { decodeBase64 } = loadNative<NativeBase64>();

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DIGIT = 0x30;
const [SEGMENT_HEAD, FILE_HEAD, SIZE, NO_PAYLOAD, PAYLOAD, POSITION, END] = [
  TAR_SPLIT.segment,
  TAR_SPLIT.file,
  TAR_SPLIT.size,
  TAR_SPLIT.noPayload,
  TAR_SPLIT.payload,
  TAR_SPLIT.position,
  TAR_SPLIT.end,
].map((text) => Buffer.from(text, 'latin1')) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
/** A CRC-64 in base64. */
const PAYLOAD_LENGTH = 12;
/** Numbers with more digits may not be exact. */
const MAX_DIGITS = 15;

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
 * Turns blocks of decompressed tar-split text into the chunks of a layer. Lines in the exact shape that Go's encoder
 * writes are scanned by hand, everything else goes through JSON.parse; the CRC of files is ignored because the diff_id
 * covers all of it. Adjacent segments become one chunk.
 */
export class TarSplitParser {
  readonly #layer: string;
  readonly #contentOf: ContentOf;
  readonly #expectedLength: number | undefined;
  readonly #onSegment: OnSegment | undefined;
  #carry: Buffer[] = [];
  #carryLength = 0;
  /** Where the line being parsed starts in the decompressed text. */
  #offset = 0;
  #tarLength = 0;
  #out = Buffer.alloc(0);
  #outStart = 0;
  #outEnd = 0;
  #chunks: Chunk[] = [];
  readonly #header = new SegmentHeader();
  /** The first file that the store unpacked from a sparse one; it has more bytes there than in the tar. */
  #sparse: ByteString | undefined;

  /**
   * @param layer name for error messages
   * @param expectedLength length of the tar in bytes when the store knows it; reading stops as soon as it is passed
   */
  constructor(layer: string, contentOf: ContentOf, expectedLength?: number, onSegment?: OnSegment) {
    this.#layer = layer;
    this.#contentOf = contentOf;
    this.#expectedLength = expectedLength;
    this.#onSegment = onSegment;
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
      throw this.#wrongLength(
        `it describes a tar of ${this.#tarLength} bytes, the store recorded ${this.#expectedLength}`,
      );
    }
    return this.#take();
  }

  #keep(part: Buffer): void {
    this.#carryLength += part.length;
    if (this.#carryLength > TAR_SPLIT_LINE_LIMIT)
      throw this.#bad(`a line is longer than ${TAR_SPLIT_LINE_LIMIT} bytes`);
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

  /** Takes a line in the shape that Go's encoder gives it. @returns false for any other, of which nothing was taken */
  #usualLine(block: Buffer, start: number, end: number): boolean {
    if (has(block, start, SEGMENT_HEAD)) {
      const from = start + SEGMENT_HEAD.length;
      const quote = block.indexOf(QUOTE, from);
      if (quote < from || quote >= end || !isTail(block, quote + 1, end)) return false;
      this.#segment(block, from, quote);
      return true;
    }
    if (!has(block, start, FILE_HEAD)) return false;
    const from = start + FILE_HEAD.length;
    let at = from;
    while (block[at] !== QUOTE) if (at === end || block[at++] === BACKSLASH) return false;
    const quote = at++;
    let size = 0;
    if (has(block, at, SIZE)) {
      const digits = at + SIZE.length;
      at = afterNumber(block, digits);
      for (let i = digits; i < at; i++) size = size * 10 + (block[i]! - DIGIT);
      if (at === digits || block[digits] === DIGIT) return false;
    }
    if (has(block, at, NO_PAYLOAD)) {
      at += NO_PAYLOAD.length;
    } else {
      at += PAYLOAD.length + PAYLOAD_LENGTH;
      if (
        !has(block, at - PAYLOAD.length - PAYLOAD_LENGTH, PAYLOAD) ||
        block.indexOf(QUOTE, at - PAYLOAD_LENGTH) !== at++
      )
        return false;
    }
    if (!isTail(block, at, end)) return false;
    if (size > 0) this.#file(block.toString('latin1', from, quote), size);
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
      if (data.name_raw !== undefined) this.#file(Buffer.from(data.name_raw, 'base64').toString('latin1'), data.size);
      else if (data.name !== undefined) this.#file(bytesOf(data.name), data.size);
      else throw this.#bad('a file has no name');
    }
  }

  #file(rawName: ByteString, size: number): void {
    if (this.#header.hasNoContent) return;
    if (this.#header.isSparse) this.#sparse ??= cleanName(rawName);
    const name = cleanName(rawName);
    // A NUL would end the name early in the system call and reach another file.
    if (name === '' || name.includes('\0')) throw this.#bad(`"${showBytes(rawName)}" cannot be the name of a file`);
    this.#count(size);
    this.#closeBytes();
    this.#chunks.push(this.#contentOf(name, size));
  }

  #segment(block: Buffer, start: number, end: number): void {
    const size = decodeBase64(block, start, end, this.#out, this.#outEnd);
    if (size < 0) throw this.#bad('a segment is not base64');
    const from = this.#outEnd;
    this.#outEnd += size;
    if (this.#header.readPlain(this.#out, from, this.#outEnd, this.#tarLength)) return this.#count(size);
    this.#onSegment?.(this.#out, from, this.#outEnd, this.#tarLength);
    this.#header.read(this.#out, from, this.#outEnd);
    this.#count(size);
  }

  #count(size: number): void {
    this.#tarLength += size;
    const limit = this.#expectedLength ?? Number.MAX_SAFE_INTEGER;
    if (this.#tarLength > limit) throw this.#wrongLength(`it describes more than the ${limit} bytes the tar can have`);
  }

  /** What the store cannot know is not damaged. */
  #wrongLength(problem: string): BridgeError {
    if (this.#sparse === undefined) return this.#bad(problem);
    const advice =
      'the store unpacked it and kept no trace of its holes. Take the image from where it came from, with ' +
      '"skopeo copy" into an OCI folder say';
    return new BridgeError('NO_TAR_SPLIT', `the exact tar cannot be rebuilt: it has a sparse file, ${advice}`, {
      place: { layer: this.#layer, entry: showBytes(this.#sparse) },
    });
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

function has(block: Buffer, at: number, what: Buffer): boolean {
  for (let i = 0; i < what.length; i++) if (block[at + i] !== what[i]) return false;
  return true;
}

/** Whether nothing but the line's number and the closing brace lies between `at` and `end`. */
function isTail(block: Buffer, at: number, end: number): boolean {
  const digits = at + POSITION.length;
  const brace = has(block, at, POSITION) ? afterNumber(block, digits) : at;
  return brace !== digits && brace + END.length === end && has(block, brace, END);
}

/** Where a number that starts at `at` ends; `at` when there is none that is short enough. */
function afterNumber(block: Buffer, at: number): number {
  let end = at;
  while (block[end]! >= DIGIT && block[end]! <= DIGIT + 9) end++;
  return end - at > MAX_DIGITS ? at : end;
}
