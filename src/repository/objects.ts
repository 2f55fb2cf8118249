import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import type { NativeErrorCode, SystemErrorCode } from '../error-codes.js';
import { BridgeError, FormatError, NotFoundError, type Place } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { rootAndSelf } from '../fd/peer.js';
import { OUTCOME, RESULT_AT } from '../layouts.js';
import { files, loadNative, type FdNumber } from '../native.js';
import type { Batch } from '../layer/batch.js';
import { DIGEST_SIZE, KERNEL_ALGORITHM, objectPath, type Algorithm, type ObjectId } from '../fsverity/object-id.js';
import { pathOfObject } from './names.js';
import { takingOf, type TakePolicy, type Taking } from './take-policy.js';

type Outcome = 'hashed' | 'reflinked' | 'hardlinked' | 'copied' | 'present';
/** By their numbers, in which order they are there. */
const OUTCOMES = Object.keys(OUTCOME) as (keyof typeof OUTCOME)[];

/** What became of one file: an object, or its content where that is short enough to stay inline. */
export type FileResult = (StoredFile | { outcome: 'small'; content: Buffer }) & {
  /** where it was asked for behind the file: SHA-256 of all since it was asked for before, in hex */
  sha256?: string;
};

/** A file that is an object now. */
export interface StoredFile {
  outcome: Outcome;
  id: ObjectId;
  /** copied because of its owner, mode or capabilities, where it would have been hardlinked otherwise */
  unshareable: boolean;
}

const SHA256_SIZE = 32;
const MISSING = -1;

interface NativeIngest {
  submit(ops: Buffer): Promise<Buffer>;
  digest(): Buffer;
  abort(): void;
  endSilence(limit: number, message: string): void;
  withdrawWrong(): Promise<void>;
}

interface NativeStore {
  put(bytes: Uint8Array): Promise<Buffer>;
  firstMissing(digests: Buffer): Promise<number>;
  unusable(digests: Buffer): Promise<Uint32Array>;
  ingest(policy: Taking): NativeIngest;
  /** @returns -1 when it is not there, -2 when it is no regular file */
  size(name: ByteString): number;
  distrust(digest: Buffer): void;
  refusals(): [hardlink: boolean, major: number, minor: number, code: string][];
  handle(): object;
  land(staging: FdNumber): Promise<void>;
  close(): void;
}

const { openStore } = loadNative<{
  openStore: (
    dir: FdNumber,
    algorithm: number,
    verityRequired: boolean,
    believed: readonly number[],
    staging?: FdNumber,
  ) => NativeStore;
}>();

export interface ObjectStoreOptions {
  /** Whose files may be objects; default: root and the caller. */
  believed?: readonly number[];
  /** A folder that new objects go into instead, until `land` is called with it on a store without one. */
  staging?: Fd;
}

/** The `objects/` folder of a repository: content by fs-verity digest. */
export class ObjectStore implements Disposable {
  readonly #native: NativeStore;
  readonly #verityRequired: boolean;

  /**
   * @internal
   * @param dir the open `objects/` folder; owned by this object from here on
   * @param verityRequired objects without a matching fs-verity digest are refused
   */
  constructor(
    readonly dir: Fd,
    readonly algorithm: Algorithm,
    verityRequired: boolean,
    { believed = rootAndSelf(), staging }: ObjectStoreOptions = {},
  ) {
    this.#native = openStore(dir.number, KERNEL_ALGORITHM[algorithm], verityRequired, believed, staging?.number);
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
   * Opens an object read-only.
   * @param dir another descriptor of this folder, to open it through
   * @throws NotFoundError; BridgeError `VERITY_MISMATCH` where fs-verity is required and the file's digest is another
   */
  open(id: ObjectId, dir = this.dir): Fd {
    let fd: Fd;
    try {
      fd = openBeneath(dir, objectPath(id), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'ENOENT'))
        throw new NotFoundError(`object ${id} is missing; pull the image again`, { cause: error });
      if (isErrno(error, 'ELOOP'))
        throw new BridgeError(
          'OBJECT_SYMLINK',
          `${pathOfObject(id)} is a symlink or behind one, which could lead anywhere; fsck names it`,
          { cause: error },
        );
      throw error;
    }
    if (this.#verityRequired && files.measureVerity(fd.number)?.toString('hex') !== id) {
      fd.close();
      throw new BridgeError('VERITY_MISMATCH', `object ${id} does not have its fs-verity digest`);
    }
    return fd;
  }

  /** Which ways of sharing did not work from which file system, in words: `reflink from 8:1: EOPNOTSUPP`. */
  refusals(): string[] {
    return this.#native
      .refusals()
      .map(([hardlink, major, minor, code]) => `${hardlink ? 'hardlink' : 'reflink'} from ${major}:${minor}: ${code}`);
  }

  /**
   * How long an object is, in bytes.
   * @throws NotFoundError; FormatError when it is not a regular file; an error with `code` of the system
   */
  size(id: ObjectId): number {
    const size = this.#native.size(objectPath(id));
    if (size >= 0) return size;
    if (size === MISSING) throw new NotFoundError(`object ${id} is missing; pull the image again`);
    throw new FormatError('OBJECT_TYPE', `object ${id} is not a regular file`);
  }

  has(id: ObjectId): boolean {
    try {
      return (files.statBeneath(this.dir.number, objectPath(id)).mode & constants.S_IFMT) === constants.S_IFREG;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
      throw error;
    }
  }

  /**
   * Looks for many objects at once. One that others than those who are believed can change, or that gives rights to
   * whoever executes it, is not there.
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
   * Looks for many objects at once, as `firstMissing` does. One without its fs-verity digest is not there either, where
   * that is required.
   * @param digests raw, one after the other
   * @returns the place of each that is not there among them, ascending
   */
  async unusable(digests: Buffer): Promise<Uint32Array> {
    try {
      return await this.#native.unusable(digests);
    } catch (error) {
      throw storeError(error, {});
    }
  }

  /**
   * Says that an object was found damaged: the next one that is stored under this id replaces it, also where the kernel
   * still vouches for its digest, which it does without reading the content.
   */
  distrust(id: ObjectId): void {
    this.#native.distrust(Buffer.from(id, 'hex'));
  }

  /**
   * Moves the objects of a staging folder to where they belong; a right one that is there already stays.
   * @throws BridgeError with the errno's name as `code`
   */
  async land(staging: Fd): Promise<void> {
    try {
      await this.#native.land(staging.number);
    } catch (error) {
      throw storeError(error, {});
    }
  }

  /**
   * @internal
   * Starts taking over one layer's content.
   * @param from.trusted nobody who can write to the files wants to deceive us; otherwise content is only hashed where
   *   nobody else can change it
   */
  ingest(policy: TakePolicy, { trusted }: { trusted: boolean } = { trusted: true }): LayerIngest {
    return new LayerIngest(this.#native.ingest(takingOf(policy, trusted)), DIGEST_SIZE[this.algorithm]);
  }

  /** @internal What the addon's other functions know this store by. Valid as long as the store is. */
  nativeHandle(): object {
    return this.#native.handle();
  }

  /** Closes the folder. Puts and ingests must have ended. */
  [Symbol.dispose](): void {
    this.#native.close();
    this.dir.close();
  }
}

/** One layer's way into the object store; see `native/ingest/ingest.h`. */
export class LayerIngest {
  readonly #native: NativeIngest;
  readonly #digestSize: number;

  constructor(native: NativeIngest, digestSize: number) {
    this.#native = native;
    this.#digestSize = digestSize;
  }

  /**
   * Hashes and stores a batch, which can be filled anew at once. Batches are processed in the order of these calls,
   * several at a time.
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
    for (let at = 0; at < packed.length; at += RESULT_AT.end) {
      const content = at + RESULT_AT.content;
      const outcome = OUTCOMES[packed[at + RESULT_AT.outcome] as number] as keyof typeof OUTCOME;
      if (outcome === 'small') {
        const length = packed[at + RESULT_AT.length] as number;
        results.push({ outcome, content: packed.subarray(content, content + length) });
      } else if (outcome === 'digest') {
        const last = results.at(-1);
        if (last !== undefined) last.sha256 = packed.toString('hex', content, content + SHA256_SIZE);
      } else {
        const unshareable = outcome === 'unshareable';
        results.push({
          outcome: unshareable ? 'copied' : outcome,
          unshareable,
          id: packed.toString('hex', content, content + this.#digestSize),
        });
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

  /**
   * Makes all batches fail when a call on a source has not returned for `limit` milliseconds. What is in that call is
   * left alone, and its descriptors stay open. To be called several times in so long.
   */
  endSilence(limit: number): void {
    this.#native.endSilence(limit, `nothing came for ${limit / 1000} s of a file that the peer passed`);
  }

  /**
   * Takes those hardlinked objects away that are not right any more, as somebody wrote to the files they share their
   * inodes with. To be called after a failure or with the wrong digest, when no batch is under way. What cannot be
   * removed is for fsck to find.
   */
  async withdrawWrong(): Promise<void> {
    await this.#native.withdrawWrong().catch(() => undefined);
  }
}

/** A failure of the native store; `file` is the index of the file within its batch. */
export class StoreFailure extends BridgeError {
  declare readonly code: NativeErrorCode | SystemErrorCode;
  readonly file: number | undefined;

  constructor(
    code: NativeErrorCode | SystemErrorCode,
    message: string,
    file: number | undefined,
    options: ErrorOptions & { place?: Place },
  ) {
    super(code, message, options);
    this.file = file;
  }
}

function storeError(error: unknown, place: Place): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const file = 'file' in error ? (error.file as number) : undefined;
  return new StoreFailure(error.code as NativeErrorCode | SystemErrorCode, error.message, file, {
    cause: error,
    place,
  });
}
