import { createGunzip } from 'node:zlib';
import { FormatError } from '../../errors.js';
import type { ByteSource } from '../../layer/byte-source.js';
import { ZstdReader } from '../../repository/zstd.js';

export type Compression = 'none' | 'gzip' | 'zstd';

/** So many bytes of a file tell how it is compressed. */
export const MAGIC_LENGTH = 6;

const OUTPUT_SIZE = 256 * 1024;
/** So many bytes may wait before and after the decompressor, so that reading, decompressing and storing overlap. */
const READ_AHEAD = 1 << 20;
const GUNZIP = { chunkSize: OUTPUT_SIZE, highWaterMark: READ_AHEAD };

/**
 * How a file is compressed, going by its first bytes. Media types are not asked: tools write plain tars under the type of
 * compressed ones and the other way round, and no tar begins like a compressed file.
 * @throws FormatError `COMPRESSION` for a compression that cannot be read
 */
export function detectCompression(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  const magic = head.length >= 4 ? head.readUInt32LE(0) : 0;
  // The second are zstd's skippable frames, which may come before the first with content.
  if (magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5) return 'zstd';
  const foreign = head.toString('latin1', 0, 3) === 'BZh' ? 'bzip2' : head.toString('latin1', 0, 6) === '\xfd7zXZ\0' ? 'xz' : undefined;
  if (foreign !== undefined) throw new FormatError('COMPRESSION', `compressed with ${foreign}; gzip, zstd and no compression can be read`);
  return 'none';
}

/**
 * The decompressed bytes of a source, piece by piece: memory does not depend on how far they expand. All members of a gzip file
 * and all frames of a zstd file count. The source is read to its end, also where the compressed data ends before it.
 * @param source disposed with the result
 */
export function decompress(source: ByteSource, compression: Compression): ByteSource {
  if (compression === 'gzip') return new GunzipSource(source);
  return compression === 'zstd' ? new ZstdSource(source) : source;
}

class GunzipSource implements ByteSource {
  readonly #source: ByteSource;
  readonly #gunzip = createGunzip(GUNZIP);

  constructor(source: ByteSource) {
    this.#source = source;
    // Errors reach the reader through the iterator; one that comes while nobody reads must not end the process.
    this.#gunzip.on('error', () => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const fed = this.#feed();
    try {
      for await (const piece of this.#gunzip) yield piece as Buffer;
    } catch (error) {
      throw isZlibError(error) ? damaged('gzip', error) : error;
    }
    await fed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gunzip.destroy();
    await this.#source[Symbol.asyncDispose]();
  }

  /** Never fails: what goes wrong becomes the error of the decompressed side. */
  async #feed(): Promise<void> {
    const gunzip = this.#gunzip;
    try {
      for await (const piece of this.#source) {
        // Zeros after the last member end the output early; they still belong to the file whose digest is taken.
        if (!gunzip.destroyed && !gunzip.readableEnded && !gunzip.write(piece)) await this.#drained();
      }
      gunzip.end();
    } catch (error) {
      gunzip.destroy(error as Error);
    }
  }

  async #drained(): Promise<void> {
    const gunzip = this.#gunzip;
    await new Promise<void>((resolve) => {
      const events = ['drain', 'end', 'close'] as const;
      const done = (): void => {
        for (const event of events) gunzip.off(event, done);
        resolve();
      };
      for (const event of events) gunzip.on(event, done);
      if (gunzip.destroyed) done();
    });
  }
}

class ZstdSource implements ByteSource {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const reader = new ZstdReader();
    for await (const piece of this.#source) {
      const blocks = reader.read(piece);
      for (;;) {
        const block = checked(() => blocks.next());
        if (block.done) break;
        yield block.value;
      }
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
