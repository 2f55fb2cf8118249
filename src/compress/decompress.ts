import { FormatError } from '../errors.js';
import binding from 'zstd-napi/binding.js';
import type { ByteSource } from '../fd/byte-source.js';
import { Gunzip } from './gunzip.js';
import { nodeGunzip } from './node-gunzip.js';
import { releaseBytes } from './release-bytes.js';
import { ZstdReader } from './zstd.js';

export type Compression = 'none' | 'gzip' | 'zstd';

/** So many bytes of a file tell how it is compressed. */
export const MAGIC_LENGTH = 6;

/**
 * How a file is compressed, going by its first bytes. Media types are not asked: tools write plain tars under the type
 * of compressed ones and the other way round, and no tar begins like a compressed file.
 * @throws FormatError `COMPRESSION` for a compression that cannot be read
 */
export function detectCompression(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  const magic = head.length >= 4 ? head.readUInt32LE(0) : 0;
  // The second are zstd's skippable frames, which may come before the first with content.
  if (magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5) return 'zstd';
  const foreign =
    head.toString('latin1', 0, 3) === 'BZh'
      ? 'bzip2'
      : head.toString('latin1', 0, 6) === '\xfd7zXZ\0'
        ? 'xz'
        : undefined;
  if (foreign !== undefined)
    throw new FormatError('COMPRESSION', `compressed with ${foreign}; gzip, zstd and no compression can be read`);
  return 'none';
}

/**
 * The decompressed bytes of a source, piece by piece: memory does not depend on how far they expand. All members of a
 * gzip file and all frames of a zstd file count. The source is read to its end, also where the compressed data ends
 * before it. A piece is valid until the next one is asked for.
 * @param source disposed with the result; its pieces are the decompressor's, which frees their memory
 */
export function decompress(source: ByteSource, compression: Compression): ByteSource {
  if (compression === 'gzip') return new GunzipSource(source);
  return compression === 'zstd' ? new ZstdSource(source) : source;
}

/**
 * The same for a source of which nobody has looked at the first bytes.
 * @param explain makes the error of a compression that cannot be read say what it is about
 */
export function decompressAny(source: ByteSource, explain: (error: FormatError) => FormatError): DetectedSource {
  return new DetectedSource(source, explain);
}

class DetectedSource implements ByteSource {
  readonly #source: ByteSource;
  readonly #explain: (error: FormatError) => FormatError;
  #decompressed: ByteSource | undefined;
  #compression: Compression | undefined;

  constructor(source: ByteSource, explain: (error: FormatError) => FormatError) {
    this.#source = source;
    this.#explain = explain;
  }

  /** How the source is compressed; undefined until its first bytes were read. */
  get compression(): Compression | undefined {
    return this.#compression;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const pieces = this.#source[Symbol.asyncIterator]();
    try {
      const begin = await firstPieces(pieces);
      const compression = this.#detect(begin);
      this.#compression = compression;
      const rest = {
        [Symbol.asyncIterator]: () => continued(begin, pieces),
        [Symbol.asyncDispose]: () => this.#source[Symbol.asyncDispose](),
      };
      this.#decompressed = decompress(rest, compression);
      yield* this.#decompressed;
    } finally {
      // Not waited for: a read may be under way, which only disposing ends.
      pieces.return?.().catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#decompressed ?? this.#source)[Symbol.asyncDispose]();
  }

  #detect(begin: readonly Buffer[]): Compression {
    try {
      return detectCompression(Buffer.concat(begin));
    } catch (error) {
      throw error instanceof FormatError ? this.#explain(error) : error;
    }
  }
}

/** As many pieces as tell how they are compressed. */
async function firstPieces(pieces: AsyncIterator<Buffer>): Promise<Buffer[]> {
  const begin: Buffer[] = [];
  for (let length = 0; length < MAGIC_LENGTH; ) {
    const next = await pieces.next();
    if (next.done) break;
    // The source may use the bytes again for the next piece.
    begin.push(begin.length === 0 && next.value.length >= MAGIC_LENGTH ? next.value : Buffer.from(next.value));
    length += next.value.length;
  }
  return begin;
}

async function* continued(begin: readonly Buffer[], pieces: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
  yield* begin;
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
}

class GunzipSource implements ByteSource {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    try {
      const gunzip = Gunzip.open();
      yield* gunzip === undefined ? nodeGunzip(this.#source) : gunzip.read(this.#source[Symbol.asyncIterator]());
    } catch (error) {
      throw isZlibError(error) ? damaged('gzip', error) : error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}

class ZstdSource implements ByteSource {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const reader = new ZstdReader();
    const output = Buffer.allocUnsafeSlow(binding.dStreamOutSize());
    for await (const piece of this.#source) {
      const blocks = reader.read(piece, () => output);
      for (;;) {
        const block = checked(() => blocks.next());
        if (block.done) break;
        yield block.value;
      }
      releaseBytes(piece);
    }
    checked(() => reader.end());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}

function checked<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw error instanceof FormatError ? damaged('zstd', error) : error;
  }
}

function isZlibError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}

function damaged(format: string, cause: Error): FormatError {
  return new FormatError('COMPRESSION', `${format} data is damaged or cut off: ${cause.message}`, { cause });
}
