import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { CHUNK_BODY_LIMIT, CHUNK_NAME_LIMIT } from '../limits.js';
import type { ByteSource } from '../fd/byte-source.js';
import { layerFrom, type ChunkStep } from './layer-pipe.js';
import {
  BYTES_HEADER_SIZE,
  FILE_BACKED_DATA,
  FILE_HEADER_SIZE,
  INLINE_DATA,
  METADATA,
  PACKED_BLOB,
  PACKED_BLOB_LENGTH,
} from './splitdirfdstream-format.js';
import type { Chunk, LayerStream } from './stream.js';

const EMPTY = Buffer.alloc(0);
const TWO_32 = 0x1_0000_0000;
const MAX_SAFE_HIGH = 0x1f_ffff;

/** What streams between processes of ours have besides. */
export interface OursInside {
  /** Gives the open file in a slot away, once: content may be a file itself, and has no name then. */
  takeFile(slot: number): Fd | undefined;
  /** JSON of the blob that the tar came out of, at the end. */
  blob(json: string): void;
}

/**
 * Reads a splitdirfdstream. Its end can be a failed producer's end: only the diff_id tells whether it was complete.
 * @param dirs what came in the directory slots; some may be no directories, which shows when a chunk's name is opened.
 *   The stream closes them when it is disposed
 * @param lease further resources (the lifetime descriptors) to release, after everything else, when the stream is
 *   disposed
 * @param ours for what the format does not have, and processes of ours send each other
 * @returns a stream that throws FormatError, with the offset in the splitdirfdstream, while it is read
 */
export function decodeSplitdirfdstream(
  source: ByteSource,
  dirs: readonly Fd[],
  lease: readonly Disposable[] = [],
  ours?: OursInside,
): LayerStream {
  return layerFrom(source, new Decoder(dirs, ours), [...dirs, ...lease]);
}

class Decoder implements ChunkStep<Buffer> {
  readonly #dirs: readonly Fd[];
  /** The beginning of a chunk whose header or name is cut by the end of the piece. */
  #rest: Buffer = EMPTY;
  #bodyDue = 0;
  #offset = 0;
  readonly #ours: OursInside | undefined;

  constructor(dirs: readonly Fd[], ours: OursInside | undefined) {
    this.#dirs = dirs;
    this.#ours = ours;
  }

  push(piece: Buffer, out: Chunk[]): void {
    const buffer = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece;
    this.#rest = EMPTY;
    let pos = 0;
    while (pos < buffer.length) {
      const start = pos;
      if (this.#bodyDue > 0) {
        pos = Math.min(buffer.length, pos + this.#bodyDue);
        this.#bodyDue -= pos - start;
        out.push({ kind: 'bytes', bytes: buffer.subarray(start, pos) });
      } else {
        pos = this.#chunk(buffer, pos, out);
        if (pos === start) {
          this.#rest = buffer.subarray(start);
          return;
        }
      }
      this.#offset += pos - start;
    }
  }

  end(): void {
    if (this.#rest.length > 0 || this.#bodyDue > 0) throw this.#error('the stream ends in the middle of a chunk');
  }

  /** Reads the header of a chunk; returns the position after it, or `at` when not all of it is there. */
  #chunk(buffer: Buffer, at: number, out: Chunk[]): number {
    const type = buffer[at]!;
    const available = buffer.length - at;
    if (type === METADATA || type === INLINE_DATA) {
      if (available < BYTES_HEADER_SIZE) return at;
      this.#bodyDue = buffer.readUInt32LE(at + 1);
      if (this.#bodyDue > CHUNK_BODY_LIMIT)
        throw this.#error(`chunk of ${this.#bodyDue} bytes, the limit is ${CHUNK_BODY_LIMIT}`);
      return at + BYTES_HEADER_SIZE;
    }
    if (type === PACKED_BLOB && this.#ours !== undefined) return this.#blob(buffer, at, this.#ours);
    if (type !== FILE_BACKED_DATA) throw this.#error(`unknown chunk type ${type}`);
    if (available < FILE_HEADER_SIZE) return at;
    const high = buffer.readUInt32LE(at + 5);
    const size = high * TWO_32 + buffer.readUInt32LE(at + 1);
    const slot = buffer.readUInt32LE(at + 9);
    const nameLength = buffer.readUInt32LE(at + 13);
    if (high > MAX_SAFE_HIGH) throw this.#error('content length out of range');
    if (nameLength === 0 && this.#ours !== undefined) {
      const fd = this.#ours.takeFile(slot);
      if (fd === undefined) throw this.#error(`no file came for slot ${slot}`);
      out.push({ kind: 'fd', fd, size });
      return at + FILE_HEADER_SIZE;
    }
    const dir = this.#dirs[slot];
    if (dir === undefined) throw this.#error(`directory ${slot} of ${this.#dirs.length}`);
    if (nameLength > CHUNK_NAME_LIMIT)
      throw this.#error(`file name of ${nameLength} bytes, the limit is ${CHUNK_NAME_LIMIT}`);
    const nameStart = at + FILE_HEADER_SIZE;
    const end = nameStart + nameLength;
    if (end > buffer.length) return at;
    const name = buffer.toString('latin1', nameStart, end);
    this.#checkName(name);
    // An empty file has no bytes in a tar.
    if (size > 0) out.push({ kind: 'named', dir, name, size });
    return end;
  }

  #blob(buffer: Buffer, at: number, ours: OursInside): number {
    if (buffer.length - at < BYTES_HEADER_SIZE) return at;
    const length = buffer.readUInt32LE(at + 1);
    if (length > PACKED_BLOB_LENGTH) throw this.#error(`what is said of a blob has ${length} bytes`);
    const start = at + BYTES_HEADER_SIZE;
    if (buffer.length - start < length) return at;
    ours.blob(buffer.toString('utf8', start, start + length));
    return start + length;
  }

  /** openat2 would refuse these too; a NUL would silently shorten the name. */
  #checkName(name: ByteString): void {
    const leaves = name.includes('..') && name.split('/').includes('..');
    if (name === '' || leaves || name.startsWith('/') || name.includes('\0')) {
      throw this.#error(`file name "${showBytes(name)}" is not allowed`);
    }
  }

  #error(message: string): FormatError {
    return new FormatError('SPLITDIRFDSTREAM', message, { place: { offset: this.#offset } });
  }
}
