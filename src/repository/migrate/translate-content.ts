// Files of one repository become objects of another one that uses the other algorithm.
import { DigestMismatchError } from '../../errors.js';
import { verityDigest } from '../../fsverity/digest.js';
import { INLINE_LIMIT } from '../../layer/entry.js';
import type { Batch } from '../../layer/batch.js';
import { IngestPipeline } from '../ingest-pipeline.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import type { FileResult } from '../objects.js';
import type { TakePolicy } from '../take-policy.js';
import { readSmallFile } from '../../fd/read-file.js';
import type { Repository } from '../repository.js';

/** An object in the new repository; `size` in bytes. */
export interface Translated {
  id: ObjectId;
  size: number;
}

/** How many objects are the same file as before, share blocks with it, or were copied. */
export interface ContentStats {
  hardlinked: number;
  reflinked: number;
  copied: number;
  present: number;
}

/** Translates objects whose bytes stay the same: files, and the JSON of images. */
export class ContentTranslation {
  readonly stats: ContentStats = { hardlinked: 0, reflinked: 0, copied: 0, present: 0 };
  readonly #from: Repository;
  readonly #to: Repository;
  readonly #known = new Map<ObjectId, Translated>();
  readonly #onProgress: ((objects: number) => void) | undefined;
  readonly #policy: TakePolicy;

  constructor(from: Repository, to: Repository, onProgress?: (objects: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#onProgress = onProgress;
    // Where fs-verity is required a file could be shared only after it got the new digest, and the old repository needs
    // it as it is.
    this.#policy = to.verityRequired ? 'reflink' : 'link';
  }

  /** The new object of one that `translate` was asked for. */
  get(id: ObjectId): Translated {
    const known = this.#known.get(id);
    if (known === undefined) throw new RangeError(`object ${id} was not translated`);
    return known;
  }

  /**
   * Stores objects under their new digests, after making sure that they have the old ones.
   * @throws NotFoundError, DigestMismatchError
   */
  async translate(ids: Iterable<ObjectId>, signal?: AbortSignal): Promise<void> {
    const storing = new IngestPipeline<readonly Translated[]>(this.#to.objects.ingest(this.#policy), {
      take: (results, files) => this.#remember(results, files),
    });
    const hashing = new IngestPipeline<readonly Translated[]>(this.#from.objects.ingest('hash'), {
      // A damaged object must not become one that is right by its new digest.
      take: async (results, files) => {
        for (const [index, { id }] of files.entries()) checkDigest(id, digestOf(results[index]));
        this.#name(storing.batch, files);
        storing.submit(files);
        await storing.room();
      },
    });
    try {
      let files: Translated[] = [];
      for (const id of new Set(ids)) {
        signal?.throwIfAborted();
        const size = this.#known.has(id) ? undefined : await this.#sizeOfLarge(id);
        if (size === undefined) continue;
        const file = { id, size };
        this.#name(hashing.batch, [file]);
        files.push(file);
        if (!hashing.isFull) continue;
        hashing.submit(files);
        files = [];
        await hashing.room();
      }
      hashing.submit(files);
      await hashing.finish();
      await storing.finish();
    } catch (error) {
      storing.stop();
      await hashing.abandon();
      await storing.abandon();
      throw error;
    }
    this.#onProgress?.(this.#known.size);
  }

  #name(batch: Batch, files: readonly Translated[]): void {
    for (const { id, size } of files) batch.named(this.#from.objects.dir, objectPath(id), size);
  }

  #remember(results: readonly FileResult[], files: readonly Translated[]): void {
    for (const [index, { id, size }] of files.entries()) {
      this.#known.set(id, { id: digestOf(results[index]), size });
      const outcome = results[index]?.outcome;
      if (outcome === 'hardlinked' || outcome === 'reflinked' || outcome === 'copied' || outcome === 'present')
        this.stats[outcome]++;
    }
    this.#onProgress?.(this.#known.size);
  }

  /** Translates an object that is too short for the pool, and returns undefined; otherwise its size in bytes. */
  async #sizeOfLarge(id: ObjectId): Promise<number | undefined> {
    // Also refuses what does not have the fs-verity digest that it should.
    using file = this.#from.objects.open(id);
    const { size } = file.stat();
    if (size > INLINE_LIMIT) return size;
    const bytes = readSmallFile(file, INLINE_LIMIT);
    checkDigest(id, verityDigest(bytes, this.#from.algorithm).toString('hex'));
    this.#known.set(id, { id: await this.#to.objects.put(bytes), size });
    return undefined;
  }
}

function digestOf(result: FileResult | undefined): ObjectId {
  if (result === undefined || result.outcome === 'small') throw new RangeError('an object was taken for a short file');
  return result.id;
}

/** @throws DigestMismatchError */
export function checkDigest(id: ObjectId, actual: ObjectId): void {
  if (actual !== id) throw new DigestMismatchError('object', id, actual);
}
