import { createHash, type Hash } from 'node:crypto';
import { DigestMismatchError, FormatError } from '../../../errors.js';
import type { ByteSource } from '../../../fd/byte-source.js';
import type { ImageFile } from './image-files.js';
import type { BlobFacts } from '../../../spec/manifest.js';

/**
 * The bytes of a file that is a blob. They are not verified.
 * @param file moves into the result
 * @throws FormatError `BLOB_SIZE`
 */
export function sizedSource(file: ImageFile, facts: BlobFacts): ByteSource {
  using owned = file;
  checkSize(owned, facts);
  return owned.source();
}

/**
 * The bytes of a blob; their end is an error when they are not those its digest names.
 * @param source disposed with the result
 * @throws DigestMismatchError after the last byte
 */
export function verifiedSource(source: ByteSource, digest: string): VerifiedSource {
  return new VerifiedSource(source, digest);
}

/** @throws FormatError `BLOB_SIZE` when the file's size is not the descriptor's */
export function checkSize(file: ImageFile, { digest, size }: BlobFacts): void {
  if (file.size !== size)
    throw new FormatError('BLOB_SIZE', `blob ${digest} has ${file.size} bytes, its descriptor says ${size}`);
}

class VerifiedSource implements ByteSource {
  readonly #source: ByteSource;
  readonly #expected: string;
  readonly #algorithm: string;
  readonly #hash: Hash;
  #size = 0;
  #verified = false;

  constructor(source: ByteSource, expected: string) {
    this.#source = source;
    this.#expected = expected;
    this.#algorithm = expected.slice(0, expected.indexOf(':'));
    this.#hash = createHash(this.#algorithm);
  }

  /** What the blob is; undefined until all of it was read and is what its digest says. */
  get facts(): BlobFacts | undefined {
    return this.#verified ? { digest: this.#expected, size: this.#size } : undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    for await (const piece of this.#source) {
      this.#hash.update(piece);
      this.#size += piece.length;
      yield piece;
    }
    const actual = `${this.#algorithm}:${this.#hash.digest('hex')}`;
    if (actual !== this.#expected) throw new DigestMismatchError('blob', this.#expected, actual);
    this.#verified = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}
