import { FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { NAMED_REFS_LIMIT, OBJECT_REFS_LIMIT } from '../../limits.js';
import { Digests } from '../../fsverity/digests.js';
import type { Algorithm, ObjectId } from '../../fsverity/object-id.js';
import { readAt, readBlocks } from '../../fd/read-file.js';
import {
  HEADER_SIZE,
  INFO_SIZE,
  parseDigests,
  parseHeader,
  parseInfo,
  parseNamedRefs,
  type Range,
  type SplitstreamInfo,
} from './format.js';
import { decompressSection, ZstdReader } from '../../compress/zstd.js';

const READ_SIZE = 64 << 10;
/** After so much of a body others get their turn: a few bytes can stand for gigabytes that are there at once. */
const TURN = 8 << 20;

/** Some bytes of the merged stream. A long inline chunk comes as several of these. */
interface InlinePiece {
  kind: 'inline';
  bytes: Buffer;
}

/** The whole content of an object. Its length is that of the object's file. */
interface ObjectPiece {
  kind: 'object';
  id: ObjectId;
}

export type Piece = InlinePiece | ObjectPiece;

/** One splitstream file, read with bounded memory: the tables are held, the body is streamed. */
export class SplitstreamReader implements Disposable {
  readonly algorithm: Algorithm;
  /** One of CONTENT_TYPES, or something else's. */
  readonly contentType: bigint;
  /** Length of the merged stream as its writer declared it, in bytes. */
  readonly streamSize: bigint;
  /** Name to the splitstream or image it stands for. */
  readonly namedRefs: ReadonlyMap<string, ObjectId>;
  /** What the names point at, in file order. */
  readonly streamRefs: readonly ObjectId[];
  readonly #fd: Fd;
  readonly #stream: Range;
  /** The different objects that the body refers to. */
  readonly objects: Digests;

  /**
   * Opens a splitstream, in the current layout or the one before it.
   * @param fd open for reading; owned by the reader from here on, also when this throws
   * @param algorithm hash of the repository
   * @throws FormatError for anything that is not a valid splitstream of that hash
   */
  static open(fd: Fd, algorithm: Algorithm): SplitstreamReader {
    try {
      const { size } = fd.stat();
      const at = parseHeader(readAt(fd, 0, Math.min(HEADER_SIZE, size)), algorithm, size);
      return new SplitstreamReader(fd, algorithm, parseInfo(readAt(fd, at.start, INFO_SIZE), algorithm, size));
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  private constructor(fd: Fd, algorithm: Algorithm, info: SplitstreamInfo) {
    this.#fd = fd;
    this.#stream = info.stream;
    this.objects = new Digests(algorithm, readTable(fd, info.objectRefs, OBJECT_REFS_LIMIT));
    this.algorithm = algorithm;
    this.contentType = info.contentType;
    this.streamSize = info.streamSize;
    this.streamRefs = parseDigests(readTable(fd, info.streamRefs, NAMED_REFS_LIMIT), algorithm);
    this.namedRefs = parseNamedRefs(
      decompressSection(readTable(fd, info.namedRefs, NAMED_REFS_LIMIT), NAMED_REFS_LIMIT),
      this.streamRefs,
    );
  }

  /**
   * The merged stream in order, in batches of what 128 KiB of body hold. May be called again, but not at the same time.
   * @throws FormatError for a damaged body, as soon as it has more inline bytes than the stream says; `offset` counts
   *   decompressed body bytes
   */
  async *batches(signal?: AbortSignal): AsyncGenerator<readonly Piece[]> {
    const zstd = new ZstdReader();
    const body = new BodyParser(this);
    let sinceTurn = 0;
    for await (const input of readBlocks(this.#fd, this.#stream.start, this.#stream.end, READ_SIZE, signal)) {
      for (const block of zstd.read(input)) {
        sinceTurn += block.length;
        if (sinceTurn > TURN) {
          sinceTurn = 0;
          await new Promise(setImmediate);
          signal?.throwIfAborted();
        }
        const pieces = body.parse(block);
        if (pieces.length > 0) yield pieces;
      }
    }
    zstd.end();
    body.end();
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** Cuts decompressed body bytes, in blocks of any length, into pieces. */
class BodyParser {
  readonly #reader: SplitstreamReader;
  readonly #count: bigint;
  readonly #number = Buffer.alloc(8);
  #digits = 0;
  #inline = 0;
  #inlineTotal = 0;
  #offset = 0;

  constructor(reader: SplitstreamReader) {
    this.#reader = reader;
    this.#count = BigInt(reader.objects.length);
  }

  parse(block: Buffer): Piece[] {
    const pieces: Piece[] = [];
    for (let at = 0; at < block.length; ) {
      const from = at;
      if (this.#inline > 0) {
        const bytes = block.subarray(at, at + this.#inline);
        pieces.push({ kind: 'inline', bytes });
        this.#inline -= bytes.length;
        at += bytes.length;
      } else {
        const copied = block.copy(this.#number, this.#digits, at, at + 8 - this.#digits);
        this.#digits = (this.#digits + copied) % 8;
        at += copied;
        if (this.#digits === 0) this.#start(this.#number.readBigInt64LE(), pieces);
      }
      this.#offset += at - from;
    }
    return pieces;
  }

  end(): void {
    if (this.#digits > 0 || this.#inline > 0) throw this.#error('the stream ends inside a chunk');
  }

  #start(value: bigint, pieces: Piece[]): void {
    if (value >= 0n) {
      if (value >= this.#count) throw this.#error(`chunk refers to object ${value} of ${this.#count}`);
      pieces.push({ kind: 'object', id: this.#reader.objects.at(Number(value)) });
    } else {
      if (-value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#error(`inline chunk of ${-value} bytes`);
      this.#inline = Number(-value);
      this.#inlineTotal += this.#inline;
      checkMergedLimit(this.#reader, this.#inlineTotal);
    }
  }

  #error(message: string): FormatError {
    return new FormatError('SPLITSTREAM_BODY', message, { place: { offset: this.#offset } });
  }
}

/**
 * To be asked before more is made of a stream, for what it stands for may be made to have no end.
 * @param length of the parts so far, in bytes @throws FormatError when they are more bytes than the stream says
 */
export function checkMergedLimit({ streamSize }: Pick<SplitstreamReader, 'streamSize'>, length: number): void {
  if (length > streamSize)
    throw new FormatError(
      'STREAM_SIZE',
      `the stream says that it has ${streamSize} bytes, but its parts have more; fsck tells which is damaged`,
    );
}

function readTable(fd: Fd, range: Range, limit: number): Buffer {
  const length = range.end - range.start;
  if (length > limit)
    throw new FormatError('SPLITSTREAM_LIMIT', `a table of ${length} bytes, at most ${limit} are accepted`, {
      place: { offset: range.start },
    });
  return readAt(fd, range.start, length);
}
