import { constants } from 'node:fs';
import { BridgeError, NotFoundError, type Place } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files, loadNative } from '../native.js';
import { Batch } from './batch.js';
import { DIGEST_SIZE, KERNEL_ALGORITHM, objectPath, type Algorithm, type ObjectId } from './object-id.js';

/** How file content may get into the repository. */
export interface TakePolicy {
  /** false: digests are computed and nothing is written */
  store: boolean;
  reflink: boolean;
  /** share the source's inode where reflinks do not work */
  hardlink: boolean;
  copy: boolean;
  /** fs-verity may be enabled on a hardlinked source, which makes it immutable for its owner */
  sealSource: boolean;
  /** nobody who can write to the sources wants to deceive us; otherwise content is only hashed where nobody else can change it */
  trusted: boolean;
}

export type Outcome = 'hashed' | 'reflinked' | 'hardlinked' | 'copied' | 'present';
const OUTCOMES: readonly Outcome[] = ['hashed', 'reflinked', 'hardlinked', 'copied', 'present'];
const SMALL = 5;

/** What became of one file: an object, or its content where that is short enough to stay inline. */
export type FileResult = StoredFile | { outcome: 'small'; content: Buffer };

interface StoredFile {
  outcome: Outcome;
  id: ObjectId;
}

interface NativeIngest {
  submit(ops: Buffer): Promise<Buffer>;
  digest(): Buffer;
  abort(): void;
}

interface NativeStore {
  put(bytes: Uint8Array): Promise<Buffer>;
  firstMissing(digests: Buffer): Promise<number>;
  ingest(policy: TakePolicy): NativeIngest;
  distrust(digest: Buffer): void;
  handle(): object;
  close(): void;
}

const { NativeStore } = loadNative<{ NativeStore: new (dir: number, algorithm: number, verityRequired: boolean) => NativeStore }>();

/** For content that has no file. */
const COPY: TakePolicy = { store: true, reflink: false, hardlink: false, copy: true, sealSource: false, trusted: true };

/** The `objects/` folder of a repository: content by fs-verity digest. */
export class ObjectStore implements Disposable {
  readonly #native: NativeStore;
  readonly #verityRequired: boolean;

  /**
   * @param dir the open `objects/` folder; owned by this object from here on
   * @param verityRequired objects without a matching fs-verity digest are refused
   */
  constructor(
    readonly dir: Fd,
    readonly algorithm: Algorithm,
    verityRequired: boolean,
  ) {
    this.#native = new NativeStore(dir.number, KERNEL_ALGORITHM[algorithm], verityRequired);
    this.#verityRequired = verityRequired;
  }

  /**
   * Stores bytes as an object. An object that is there already is re-hashed unless fs-verity vouches for it,
   * and replaced when it is damaged. `bytes` must not change before the promise settles.
   * @throws BridgeError with the errno's name as `code`
   */
  async put(bytes: Uint8Array): Promise<ObjectId> {
    try {
      return (await this.#native.put(bytes)).toString('hex');
    } catch (error) {
      throw storeError(error, {});
    }
  }

  /**
   * The same for content that comes in pieces. Each is used before the next is asked for.
   * @param length of all pieces together, in bytes
   * @throws BridgeError like `put`; what `pieces` throws
   */
  async putPieces(length: number, pieces: Iterable<Buffer>): Promise<ObjectId> {
    const ingest = this.ingest(COPY);
    const batch = new Batch();
    let latest: Promise<FileResult[]> | undefined;
    const submit = (): Promise<FileResult[]> => {
      latest = ingest.submit(batch);
      latest.catch(() => undefined);
      return latest;
    };
    try {
      batch.dataBegin(length);
      let before: Promise<unknown> = Promise.resolve();
      for (const piece of pieces) {
        batch.data(piece);
        // The pool stores one piece while the next is made.
        const submitted = submit();
        await before;
        before = submitted;
      }
      await before;
      batch.dataEnd();
      const [result] = await submit();
      return (result as StoredFile).id;
    } catch (error) {
      ingest.abort();
      await latest?.catch(() => undefined);
      throw error;
    }
  }

  /**
   * Opens an object read-only.
   * @throws NotFoundError; BridgeError `VERITY_MISMATCH` where fs-verity is required and the file's digest is another
   */
  open(id: ObjectId): Fd {
    let fd: Fd;
    try {
      fd = openBeneath(this.dir, objectPath(id), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw new NotFoundError(`object ${id} is missing; pull the image again`, { cause: error });
      throw error;
    }
    if (this.#verityRequired && files.measureVerity(fd.number)?.toString('hex') !== id) {
      fd.close();
      throw new BridgeError('VERITY_MISMATCH', `object ${id} does not have its fs-verity digest`);
    }
    return fd;
  }

  has(id: ObjectId): boolean {
    try {
      files.fstatat(this.dir.number, objectPath(id));
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /**
   * Looks for many objects at once.
   * @param digests raw, one after the other
   * @returns the first that is not there
   */
  async firstMissing(digests: Buffer): Promise<ObjectId | undefined> {
    const size = DIGEST_SIZE[this.algorithm];
    try {
      const index = await this.#native.firstMissing(digests);
      return index < 0 ? undefined : digests.toString('hex', index * size, (index + 1) * size);
    } catch (error) {
      throw storeError(error, {});
    }
  }

  /**
   * Says that an object was found damaged: the next one that is stored under this id replaces it, also where the kernel still vouches
   * for its digest, which it does without reading the content.
   */
  distrust(id: ObjectId): void {
    this.#native.distrust(Buffer.from(id, 'hex'));
  }

  /** Starts taking over one layer's content. */
  ingest(policy: TakePolicy): LayerIngest {
    return new LayerIngest(this.#native.ingest(policy), DIGEST_SIZE[this.algorithm]);
  }

  /** What the addon's other functions know this store by. Valid as long as the store is. */
  nativeHandle(): object {
    return this.#native.handle();
  }

  /** Closes the folder. Puts and ingests must have ended. */
  [Symbol.dispose](): void {
    this.#native.close();
    this.dir.close();
  }
}

/** One layer's way into the object store; see `native/ingest.h`. */
export class LayerIngest {
  readonly #native: NativeIngest;
  readonly #digestSize: number;

  constructor(native: NativeIngest, digestSize: number) {
    this.#native = native;
    this.#digestSize = digestSize;
  }

  /**
   * Hashes and stores a batch, which can be filled anew at once. Batches are processed in the order of these calls, several at a time.
   * @returns one result per file of the batch, in order
   * @throws BridgeError; after the first failure every later batch fails, too. `file` on the error is the index of the
   *   file in its batch, or undefined.
   */
  async submit(batch: Batch): Promise<FileResult[]> {
    let packed: Buffer;
    try {
      packed = await this.#native.submit(batch.take());
    } catch (error) {
      throw storeError(error, {});
    }
    const results: FileResult[] = [];
    for (let at = 0; at < packed.length; at += 66) {
      const outcome = packed[at] as number;
      if (outcome === SMALL) {
        results.push({ outcome: 'small', content: packed.subarray(at + 2, at + 2 + (packed[at + 1] as number)) });
      } else {
        results.push({ outcome: OUTCOMES[outcome] as Outcome, id: packed.toString('hex', at + 2, at + 2 + this.#digestSize) });
      }
    }
    return results;
  }

  /** SHA-256 of everything, in lower-case hex; to be called once, after all batches are done. */
  digest(): string {
    return this.#native.digest().toString('hex');
  }

  /** Makes all batches fail that are not done; descriptors in them are closed. */
  abort(): void {
    this.#native.abort();
  }
}

/** A failure of the native store; `file` is the index of the file within its batch. */
export class StoreFailure extends BridgeError {
  readonly file: number | undefined;

  constructor(code: string, message: string, file: number | undefined, options: ErrorOptions & { place?: Place }) {
    super(code, message, options);
    this.file = file;
  }
}

function storeError(error: unknown, place: Place): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const file = 'file' in error ? (error.file as number) : undefined;
  return new StoreFailure(error.code as string, error.message, file, { cause: error, place });
}
