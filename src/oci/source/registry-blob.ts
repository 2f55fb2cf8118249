import type { ResumableBody } from '../../http/resumable.js';
import type { ByteSource } from '../../fd/byte-source.js';
import type { KeptPart } from '../../repository/kept-parts.js';
import type { BlobFacts } from '../../spec/manifest.js';

/** How far a blob is, all in bytes. */
export interface FetchProgress extends BlobFacts {
  /** what came over the network in this pull */
  fetched: number;
  /** the same, and what an earlier pull had kept */
  done: number;
}

export interface RegistryBlobOptions {
  /** reads the blob from an offset on */
  fetch: (from: number) => ResumableBody;
  part: KeptPart | undefined;
  signal: AbortSignal;
  onFetch: ((progress: FetchProgress) => void) | undefined;
}

/** The bytes of a blob: first those that an earlier pull has kept, the rest from the registry. */
export class RegistryBlob implements ByteSource {
  readonly #blob: BlobFacts;
  readonly #options: RegistryBlobOptions;
  #body: ResumableBody | undefined;
  #done = 0;
  /** The network's fault, which says nothing against what has come so far. */
  #lost = false;
  #disposed = false;

  constructor({ digest, size }: BlobFacts, options: RegistryBlobOptions) {
    this.#blob = { digest, size };
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { part, onFetch } = this.#options;
    onFetch?.({ ...this.#blob, done: 0, fetched: 0 });
    if (part !== undefined) {
      for await (const piece of part.bytes()) yield this.#count(piece, 0);
    }
    if (this.#disposed) return;
    const kept = this.#done;
    const body = this.#options.fetch(kept);
    this.#body = body;
    try {
      for await (const piece of body) {
        await part?.append(piece);
        yield this.#count(piece, this.#done + piece.length - kept);
      }
    } catch (error) {
      this.#lost = true;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#body?.[Symbol.asyncDispose]();
    const { part, signal } = this.#options;
    if (this.#done === this.#blob.size) await part?.end('whole');
    // A reader that stopped for another reason did not like the bytes: the next pull is to begin anew.
    else await part?.end(this.#lost || signal.aborted ? 'kept' : 'removed');
  }

  #count(piece: Buffer, fetched: number): Buffer {
    this.#done += piece.length;
    this.#options.onFetch?.({ ...this.#blob, done: this.#done, fetched });
    return piece;
  }
}
