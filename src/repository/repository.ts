import type { Abortable } from '../abortable.js';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NoRepositoryError, NotFoundError } from '../errors.js';
import { openBelievedDirectory } from '../fd/believed-path.js';
import { isErrno, type Fd, type OpenDir } from '../fd/fd.js';
import { rootAndSelf } from '../fd/peer.js';
import { files } from '../native.js';
import {
  checkName,
  checkPath,
  listDirectory,
  makeDirectories,
  objectTarget,
  openDirectory,
  parseObjectTarget,
  readLink,
  removeLink,
  walkLinks,
  writeLink,
} from './links.js';
import {
  isCommitStream,
  IMAGES,
  isName,
  OBJECTS,
  pathOfName,
  pathOfRef,
  refsOf,
  replacedContentId,
  STREAMS,
  type Area,
} from './names.js';
import { lock, type WaitedFor } from './lock.js';
import { checkReadable, checkWritable, type Meta } from './meta.js';
import { hasMeta, readMeta } from './read-meta.js';
import { finishSwitch, isSwitching, removeMigration } from './migrate/switch.js';
import type { Algorithm, ObjectId } from '../fsverity/object-id.js';
import { ObjectStore } from './objects.js';
import { SplitstreamReader } from './splitstream/reader.js';
import { dubiousOwnership, isOwnerBelieved } from './trust.js';
import { upgradeRepository } from './upgrade.js';

/** What to do about a damaged object. */
const DAMAGE_ADVICE = 'pull the image again, or repair the repository';

/** The signal ends the wait for a garbage collection that holds the repository. */
export interface OpenOptions extends Abortable {
  /** Refuse repositories that this program may only read. Default false: nothing can be written. */
  write?: boolean;
  /** Refuse repositories without fs-verity. */
  requireVerity?: boolean;
  /** Do not ask for fs-verity although the repository has it. */
  insecure?: boolean;
  /**
   * Write the meta.json that a repository of the old kind lacks, see `upgradeRepository`, and call this. Default:
   * refuse such a repository.
   */
  onUpgrade?: (meta: Meta) => void;
  /** Believe the owner of the repository's folder as if it were the caller, see `Repository.believes`. */
  trust?: boolean;
  /** Called once for each lock, now or later, that had to be waited for for a second. */
  onWait?: (what: WaitedFor) => void;
  /**
   * Opens the repository's directory; through a clone of a mount, say, so that links from a store on the other side
   * work.
   */
  openDir?: OpenDir | undefined;
}

/**
 * An open composefs repository: `meta.json`, `objects/`, and the names in `streams/` and `images/`.
 * It holds a shared lock until it is disposed, so that no garbage collection runs meanwhile. Names are bytes.
 */
export class Repository implements Disposable {
  /** Its directory as it was opened. */
  readonly path: string;
  readonly meta: Meta;
  readonly algorithm: Algorithm;
  /** Objects without their fs-verity digest are refused. */
  readonly verityRequired: boolean;
  readonly writable: boolean;
  /** Whether its owner is root or the caller, or trusted. Content of others is hashed before anything relies on it. */
  readonly believed: boolean;
  readonly root: Fd;
  readonly #onWait: OpenOptions['onWait'];
  /** Who is believed besides root and the caller. */
  readonly #trusted: number | undefined;
  #objects: ObjectStore | undefined;

  /**
   * Opens a repository. Waits while another process collects garbage in it.
   * @param path its directory
   * @throws NotFoundError when there is none; BridgeError `REPOSITORY_INCOMPATIBLE`, `REPOSITORY_READ_ONLY`,
   *   `VERITY_REQUIRED`, `SYMLINK_OWNER`, `DUBIOUS_OWNERSHIP` for writing in one of a stranger; FormatError for a
   *   damaged meta.json
   * @example
   * ```ts
   * import { Repository } from 'composefs-bridge';
   *
   * using repository = await Repository.open('/var/lib/images', {
   *   write: true,
   *   onWait: (what) => console.error(`waiting for ${what}`),
   *   signal: AbortSignal.timeout(60_000),
   * });
   * console.log(repository.algorithm, repository.writable); // sha512 true
   * ```
   */
  static async open(path: string, options: OpenOptions = {}): Promise<Repository> {
    const root = openRoot(path, options.openDir);
    try {
      const believed = isOwnerBelieved(root, options.trust === true);
      if (options.write === true && !believed) throw dubiousOwnership(root, path);
      const { meta, verity } = await lockAndReadMeta(root, path, options, believed);
      checkReadable(meta);
      if (options.write === true) checkWritable(meta);
      if (options.requireVerity === true && !verity)
        throw new BridgeError('VERITY_REQUIRED', `${path} was made without fs-verity`);
      return new Repository(root, path, meta, verity && options.insecure !== true, options);
    } catch (error) {
      root.close();
      throw error;
    }
  }

  private constructor(
    root: Fd,
    path: string,
    meta: Meta,
    verityRequired: boolean,
    { write, trust, onWait }: OpenOptions,
  ) {
    this.root = root;
    this.path = path;
    this.meta = meta;
    this.algorithm = meta.algorithm;
    this.verityRequired = verityRequired;
    this.writable = write === true;
    this.#onWait = onWait;
    this.believed = isOwnerBelieved(root, trust === true);
    this.#trusted = this.believed ? root.stat().uid : undefined;
  }

  /**
   * Whether what this user made in the repository may be taken for true: root, the caller and, where `trust` was given,
   * the owner of the repository's folder.
   * @param uid of a file's owner (lstat, fstat)
   */
  believes(uid: number): boolean {
    return this.believedUsers.includes(uid);
  }

  /** All whom it believes. */
  get believedUsers(): number[] {
    return [...rootAndSelf(), ...(this.#trusted === undefined ? [] : [this.#trusted])];
  }

  /** The object store. @throws NotFoundError when a repository opened for reading has no objects at all */
  get objects(): ObjectStore {
    this.#objects ??= new ObjectStore(this.#openObjects(), this.algorithm, this.verityRequired, {
      believed: this.believedUsers,
    });
    return this.#objects;
  }

  /** Waits until everything written so far would survive a power failure. */
  async sync(): Promise<void> {
    await files.syncfs(this.root.number);
  }

  /** The object behind a name, or undefined. @throws FormatError when the link points elsewhere */
  lookup(area: Area, name: ByteString): ObjectId | undefined {
    checkName(name);
    const target = readLink(this.root, pathOfName(area, name));
    return target === undefined ? undefined : parseObjectTarget(target, this.algorithm);
  }

  /** The splitstream with this content id (`oci-layer-sha256:…`), or undefined. */
  streamObject(contentId: ByteString): ObjectId | undefined {
    return this.lookup(STREAMS, contentId);
  }

  /**
   * @internal
   * Opens a splitstream by its object.
   * @throws NotFoundError, FormatError
   */
  openStream(id: ObjectId): SplitstreamReader {
    try {
      return SplitstreamReader.open(this.objects.open(id), this.algorithm);
    } catch (error) {
      if (error instanceof FormatError)
        throw new FormatError(error.code, `object ${id} is no whole stream: ${error.message}; ${DAMAGE_ADVICE}`, {
          cause: error,
        });
      throw error;
    }
  }

  /** Names a splitstream, after making sure that it is on the disk. */
  async linkStream(contentId: ByteString, id: ObjectId): Promise<void> {
    await this.linkStreams([[contentId, id]]);
  }

  /**
   * Names splitstreams, in order, after making sure that all of them are on the disk.
   *
   * A stream that loses its name to another one gets the name `replaced-<object>`: garbage collectors follow references
   * only to streams that have a name, so whoever still refers to the old one would lose its objects. The extra
   * name keeps nothing alive by itself and goes with the stream. No stream refers to that of a commit.
   */
  async linkStreams(streams: readonly (readonly [contentId: ByteString, id: ObjectId])[]): Promise<void> {
    this.#checkWritable();
    const changed = streams.filter(([contentId, id]) => this.streamObject(contentId) !== id);
    if (changed.length === 0) return;
    await this.sync();
    for (const [contentId, id] of changed) {
      const old = this.streamObject(contentId);
      if (old !== undefined && !isCommitStream(contentId) && this.objects.has(old))
        writeLink(this.root, pathOfName(STREAMS, replacedContentId(old)), objectTarget(old));
      writeLink(this.root, pathOfName(STREAMS, contentId), objectTarget(id));
    }
  }

  /** Names an EROFS image by its digest, after making sure that it is on the disk. */
  async linkImage(id: ObjectId): Promise<void> {
    this.#checkWritable();
    if (this.hasImage(id)) return;
    await this.sync();
    writeLink(this.root, pathOfName(IMAGES, id), objectTarget(id));
  }

  hasImage(id: ObjectId): boolean {
    return this.lookup(IMAGES, id) === id;
  }

  /** Digests of all EROFS images, sorted. */
  listImages(): ObjectId[] {
    return this.listNames(IMAGES);
  }

  /** Content ids of all splitstreams, sorted. */
  listStreams(): ByteString[] {
    return this.listNames(STREAMS);
  }

  /** Names in an area, without its refs; sorted as bytes. */
  listNames(area: Area): ByteString[] {
    return listDirectory(this.root, area).filter(isName);
  }

  /** All refs of an area, as paths below its `refs/`; sorted as bytes within each directory. */
  listRefs(area: Area, below: ByteString = ''): ByteString[] {
    if (below !== '') checkPath(below);
    return walkLinks(this.root, below === '' ? refsOf(area) : pathOfRef(area, below));
  }

  /** The name (content id or image digest) that a ref stands for, or undefined. */
  readRef(area: Area, ref: ByteString): ByteString | undefined {
    checkPath(ref);
    return readLink(this.root, pathOfRef(area, ref))?.split('/').at(-1);
  }

  /**
   * Makes a ref, which keeps the named thing from garbage collection. Parts of `ref` between slashes become
   * directories. A power failure may take it back until the next `sync`.
   * @returns false when it was there already
   * @throws NotFoundError when `name` does not exist: a ref to nothing would make garbage collections fail
   */
  writeRef(area: Area, ref: ByteString, name: ByteString): boolean {
    this.#checkWritable();
    checkPath(ref);
    if (this.lookup(area, name) === undefined)
      throw new NotFoundError(`there is no "${showBytes(name)}" in ${area} to refer to`);
    return writeLink(this.root, pathOfRef(area, ref), `${'../'.repeat(ref.split('/').length)}${name}`);
  }

  /** Removes a ref. @returns false when there was none */
  removeRef(area: Area, ref: ByteString): boolean {
    this.#checkWritable();
    checkPath(ref);
    return removeLink(this.root, pathOfRef(area, ref));
  }

  /**
   * Takes the repository for this process alone, for good: waits until nobody else has it open, and nobody can open it
   * until this one is disposed. While it waits, others that wait for the same may come first: what was read before may
   * have changed.
   * @param options the signal ends the wait
   */
  async lockExclusive({ signal }: Abortable = {}): Promise<void> {
    await lock(this.root, 'exclusive', { signal, onWait: this.#onWait });
  }

  /** Lets go of the repository. May be called again. */
  close(): void {
    this.#objects?.[Symbol.dispose]();
    this.root.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #openObjects(): Fd {
    if (this.writable) return makeDirectories(this.root, OBJECTS);
    try {
      return openDirectory(this.root, OBJECTS);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw new NotFoundError('the repository has no objects yet', { cause: error });
      throw error;
    }
  }

  #checkWritable(): void {
    if (!this.writable) throw new BridgeError('REPOSITORY_READ_ONLY', 'the repository was opened for reading only');
  }
}

/**
 * Locks the repository against garbage collections, and ends a migration that was interrupted in its last step.
 * @param believed whether its owner is. Nothing is written otherwise: what looks unfinished there may be a trap
 */
async function lockAndReadMeta(
  root: Fd,
  path: string,
  { signal, onUpgrade, onWait }: OpenOptions,
  believed: boolean,
): Promise<ReturnType<typeof readMeta>> {
  for (;;) {
    await lock(root, 'shared', { signal, onWait });
    if (onUpgrade && believed && !hasMeta(root)) {
      const meta = upgradeRepository(root, path);
      if (meta !== undefined) onUpgrade(meta);
    }
    const found = readMeta(root, path);
    if (!isSwitching(found.meta)) return found;
    if (!believed)
      throw new BridgeError(
        'MIGRATION_UNFINISHED',
        `a migration of ${path} was interrupted; the next command of its owner, user ${root.stat().uid}, ends it`,
      );
    await lock(root, 'exclusive', { signal, onWait });
    if (!isSwitching(readMeta(root, path).meta)) continue;
    finishSwitch(root, path);
    removeMigration(root);
  }
}

function openRoot(path: string, openDir: OpenDir | undefined): Fd {
  try {
    using root = openBelievedDirectory(bytesOf(path));
    using other = openDir?.(bytesOf(path));
    return other !== undefined && isSameFile(root, other) ? other.move() : root.move();
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new NoRepositoryError(path, `there is no repository at ${path}`, { cause: error });
    throw error;
  }
}

function isSameFile(one: Fd, other: Fd): boolean {
  const [a, b] = [one.stat(), other.stat()];
  return a.dev === b.dev && a.ino === b.ino;
}
