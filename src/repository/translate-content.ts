// Files of one repository become objects of another one that uses the other algorithm.
import { DigestMismatchError } from '../errors.js';
import { verityDigest } from '../fsverity/digest.js';
import { INLINE_LIMIT } from '../layer/entry.js';
import { Batch } from './batch.js';
import { objectPath, type ObjectId } from './object-id.js';
import type { FileResult, LayerIngest, TakePolicy } from './objects.js';
import { readSmallFile } from './read-file.js';
import type { Repository } from './repository.js';

const BATCH_FILES = 256;
const BATCHES_IN_FLIGHT = 8;
const HASH_ONLY: TakePolicy = { store: false, reflink: false, hardlink: false, copy: false, sealSource: false, trusted: true };

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
  readonly #hash: LayerIngest;
  readonly #store: LayerIngest;

  constructor(from: Repository, to: Repository, onProgress?: (objects: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#onProgress = onProgress;
    this.#hash = from.objects.ingest(HASH_ONLY);
    // Where fs-verity is required a file could be shared only after it got the new digest, and the old repository needs it as it is.
    this.#store = to.objects.ingest({ store: true, reflink: true, hardlink: !to.verityRequired, copy: true, sealSource: false, trusted: true });
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
    const wanted = new Set<ObjectId>();
    for (const id of ids) if (!this.#known.has(id)) wanted.add(id);
    const inFlight: Promise<void>[] = [];
    let part: ObjectId[] = [];
    const flush = async (): Promise<void> => {
      const result = this.#translatePart(part);
      // A failure is seen when its turn comes; until then it must not count as unhandled.
      result.catch(() => {});
      inFlight.push(result);
      part = [];
      if (inFlight.length >= BATCHES_IN_FLIGHT) await inFlight.shift();
    };
    try {
      for (const id of wanted) {
        signal?.throwIfAborted();
        part.push(id);
        if (part.length === BATCH_FILES) await flush();
      }
      await flush();
    } finally {
      await Promise.allSettled(inFlight);
    }
    await Promise.all(inFlight);
  }

  async #translatePart(ids: readonly ObjectId[]): Promise<void> {
    await this.#translateFiles(ids);
    this.#onProgress?.(this.#known.size);
  }

  async #translateFiles(ids: readonly ObjectId[]): Promise<void> {
    const large: Translated[] = [];
    const batches = [new Batch(), new Batch()] as const;
    for (const id of ids) {
      // Also refuses what does not have the fs-verity digest that it should.
      using file = this.#from.objects.open(id);
      const { size } = file.stat();
      if (size <= INLINE_LIMIT) {
        const bytes = readSmallFile(file, INLINE_LIMIT);
        checkDigest(id, verityDigest(bytes, this.#from.algorithm).toString('hex'));
        this.#known.set(id, { id: await this.#to.objects.put(bytes), size });
        continue;
      }
      large.push({ id, size });
    }
    if (large.length === 0) return;
    for (const batch of batches) for (const { id, size } of large) batch.named(this.#from.objects.dir, objectPath(id), size);
    const before = await this.#hash.submit(batches[0]);
    // A damaged object must not become one that is right by its new digest.
    for (const [index, { id }] of large.entries()) checkDigest(id, digestOf(before[index]));
    const after = await this.#store.submit(batches[1]);
    for (const [index, { id, size }] of large.entries()) {
      this.#known.set(id, { id: digestOf(after[index]), size });
      const outcome = after[index]?.outcome;
      if (outcome === 'hardlinked' || outcome === 'reflinked' || outcome === 'copied' || outcome === 'present') this.stats[outcome]++;
    }
  }

  /** Ends what is under way, after a failure. */
  abort(): void {
    this.#hash.abort();
    this.#store.abort();
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
