import { createHash } from 'node:crypto';
import { DigestMismatchError } from '../../errors.js';
import { readChunk } from '../../layer/content.js';
import { closeChunk, type Chunk, type LayerStream } from '../../layer/stream.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { RepositoryLayer } from './repository-layer.js';

/**
 * A layer out of a repository whose owner is not believed, or that others will have to rely on: all of it comes as
 * bytes, which are hashed on their way. Of a stranger neither a name nor a descriptor would do, as he could change what
 * is behind it at any time.
 */
export class HashedLayer implements LayerStream {
  readonly #layer: RepositoryLayer;
  readonly #diffId: string;
  readonly #believed: boolean;

  /**
   * @param diffId `sha256:…`, of what has to come; the last step throws DigestMismatchError when it was something else
   */
  constructor(repository: Repository, stream: ObjectId, diffId: string, signal?: AbortSignal) {
    this.#layer = new RepositoryLayer(repository, stream, signal);
    this.#diffId = diffId;
    this.#believed = repository.believed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    for await (const bytes of this.bytes()) yield [{ kind: 'bytes', bytes }];
  }

  /**
   * The tar. Its last piece comes once all of it was hashed: who reads a stream that has no mark of its end gets one
   * that ends early.
   */
  async *bytes(): AsyncGenerator<Buffer> {
    const algorithm = this.#diffId.slice(0, this.#diffId.indexOf(':'));
    const hash = createHash(algorithm);
    let last: Buffer | undefined;
    for await (const chunks of this.#layer) {
      let taken = 0;
      try {
        for (const chunk of chunks) {
          taken++;
          for await (const piece of chunk.kind === 'bytes' ? [chunk.bytes] : readChunk(chunk)) {
            hash.update(piece);
            if (last !== undefined) yield last;
            // It may be filled anew when the next one is asked for.
            last = Buffer.from(piece);
          }
        }
      } finally {
        chunks.slice(taken).forEach(closeChunk);
      }
    }
    checkSent('layer', this.#diffId, `${algorithm}:${hash.digest('hex')}`, this.#believed);
    if (last !== undefined) yield last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layer[Symbol.asyncDispose]();
  }
}

/** @throws DigestMismatchError */
export function checkSent(what: string, expected: string, actual: string, believed = false): void {
  if (actual === expected) return;
  throw new DigestMismatchError(
    `what the repository has as the ${what} is something else, and ` +
      `${believed ? 'so it is damaged: fsck tells more' : 'its owner is not to be believed'}`,
    expected,
    actual,
  );
}
