import { constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import { isErrno, openBeneath, openDirectoryPath, type Fd, type OpenDir } from '../fd/fd.js';
import { files } from '../native.js';
import { checkName, checkPath, listDirectory, makeDirectories, objectTarget, openDirectory, parseObjectTarget, readLink, removeLink, walkLinks, writeLink } from './links.js';
import { checkReadable, checkWritable, META_LIMIT, parseMeta, type Meta } from './meta.js';
import { finishSwitch, isSwitching, removeMigration } from './migrate-switch.js';
import type { Algorithm, ObjectId } from './object-id.js';
import { ObjectStore } from './objects.js';
import { readSmallFile } from './read-file.js';
import { SplitstreamReader } from './splitstream-reader.js';
import { upgradeRepository } from './upgrade.js';

/** What to do about a damaged object. */
export const DAMAGE_ADVICE = 'pull the image again, or run fsck --repair';

const LOCK_INTERVAL_MS = 50;
/** Shorter: the moments in which nobody has the repository open may be rare. */
const EXCLUSIVE_INTERVAL_MS = 5;

/** Who waits longer than this is told what for. */
const PATIENCE_MS = 1000;

/** Whom a lock is waited for: a garbage collection or its like, or everybody. */
export type WaitedFor = 'exclusive' | 'others';

/** The two kinds of things a repository has names for. */
export type Area = 'streams' | 'images';

export interface OpenOptions {
  /** Refuse repositories that this program may only read. Default false: nothing can be written. */
  write?: boolean;
  /** Refuse repositories without fs-verity. */
  requireVerity?: boolean;
  /** Do not ask for fs-verity although the repository has it. */
  insecure?: boolean;
  /** Write the meta.json that a repository of the old kind lacks, see `upgradeRepository`, and call this. Default: refuse such a repository. */
  onUpgrade?: (meta: Meta) => void;
  /** Ends the wait for a garbage collection that holds the repository. */
  signal?: AbortSignal;
  /** Called once for each lock, now or later, that had to be waited for for a second. */
  onWait?: (what: WaitedFor) => void;
  /** Opens the repository's directory; through a clone of a mount, say, so that links from a store on the other side work. */
  openDir?: OpenDir | undefined;
}

/**
 * An open composefs repository: `meta.json`, `objects/`, and the names in `streams/` and `images/`.
 * It holds a shared lock until it is disposed, so that no garbage collection runs meanwhile. Names are bytes.
 */
export class Repository implements Disposable {
  readonly meta: Meta;
  readonly algorithm: Algorithm;
  /** Objects without their fs-verity digest are refused. */
  readonly verityRequired: boolean;
  readonly writable: boolean;
  readonly root: Fd;
  readonly #onWait: OpenOptions['onWait'];
  #objects: ObjectStore | undefined;

  /**
   * Opens a repository. Waits while another process collects garbage in it.
   * @param path its directory
   * @throws NotFoundError when there is none; BridgeError `REPOSITORY_INCOMPATIBLE`, `REPOSITORY_READ_ONLY`,
   *   `VERITY_REQUIRED`; FormatError for a damaged meta.json
   */
  static async open(path: string, options: OpenOptions = {}): Promise<Repository> {
    const root = openRoot(path, options.openDir ?? openDirectoryPath);
    try {
      const { meta, verity } = await lockAndReadMeta(root, path, options);
      checkReadable(meta);
      if (options.write === true) checkWritable(meta);
      if (options.requireVerity === true && !verity) throw new BridgeError('VERITY_REQUIRED', `${path} was made without fs-verity`);
      return new Repository(root, meta, verity && options.insecure !== true, options);
    } catch (error) {
      root.close();
      throw error;
    }
  }

  private constructor(root: Fd, meta: Meta, verityRequired: boolean, { write, onWait }: OpenOptions) {
    this.root = root;
    this.meta = meta;
    this.algorithm = meta.algorithm;
    this.verityRequired = verityRequired;
    this.writable = write === true;
    this.#onWait = onWait;
  }

  /** The object store. @throws NotFoundError when a repository opened for reading has no objects at all */
  get objects(): ObjectStore {
    this.#objects ??= new ObjectStore(this.#openObjects(), this.algorithm, this.verityRequired);
    return this.#objects;
  }

  /** Waits until everything written so far would survive a power failure. */
  async sync(): Promise<void> {
    await files.syncfs(this.root.number);
  }

  /** The object behind a name, or undefined. @throws FormatError when the link points elsewhere */
  lookup(area: Area, name: ByteString): ObjectId | undefined {
    checkName(name);
    const target = readLink(this.root, `${area}/${name}`);
    return target === undefined ? undefined : parseObjectTarget(target, this.algorithm);
  }

  /** The splitstream with this content id (`oci-layer-sha256:…`), or undefined. */
  streamObject(contentId: ByteString): ObjectId | undefined {
    return this.lookup('streams', contentId);
  }

  /**
   * Opens a splitstream by its object.
   * @throws NotFoundError, FormatError
   */
  openStream(id: ObjectId): SplitstreamReader {
    try {
      return SplitstreamReader.open(this.objects.open(id), this.algorithm);
    } catch (error) {
      if (error instanceof FormatError) throw new FormatError(error.code, `object ${id} is no whole stream: ${error.message}; ${DAMAGE_ADVICE}`, { cause: error });
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
   * name keeps nothing alive by itself and goes with the stream.
   */
  async linkStreams(streams: readonly (readonly [contentId: ByteString, id: ObjectId])[]): Promise<void> {
    this.#checkWritable();
    const changed = streams.filter(([contentId, id]) => this.streamObject(contentId) !== id);
    if (changed.length === 0) return;
    await this.sync();
    for (const [contentId, id] of changed) {
      const old = this.streamObject(contentId);
      if (old !== undefined && this.objects.has(old)) writeLink(this.root, `streams/replaced-${old}`, objectTarget(old));
      writeLink(this.root, `streams/${contentId}`, objectTarget(id));
    }
  }

  /** Names an EROFS image by its digest, after making sure that it is on the disk. */
  async linkImage(id: ObjectId): Promise<void> {
    this.#checkWritable();
    if (this.hasImage(id)) return;
    await this.sync();
    writeLink(this.root, `images/${id}`, objectTarget(id));
  }

  hasImage(id: ObjectId): boolean {
    return this.lookup('images', id) === id;
  }

  /** Digests of all EROFS images, sorted. */
  listImages(): ObjectId[] {
    return this.listNames('images');
  }

  /** Content ids of all splitstreams, sorted. */
  listStreams(): ByteString[] {
    return this.listNames('streams');
  }

  /** Names in an area, without its refs; sorted as bytes. */
  listNames(area: Area): ByteString[] {
    return listDirectory(this.root, area).filter((name) => name !== 'refs');
  }

  /** All refs of an area, as paths below its `refs/`; sorted as bytes within each directory. */
  listRefs(area: Area, below: ByteString = ''): ByteString[] {
    if (below !== '') checkPath(below);
    return walkLinks(this.root, below === '' ? `${area}/refs` : `${area}/refs/${below}`);
  }

  /** The name (content id or image digest) that a ref stands for, or undefined. */
  readRef(area: Area, ref: ByteString): ByteString | undefined {
    checkPath(ref);
    return readLink(this.root, `${area}/refs/${ref}`)?.split('/').at(-1);
  }

  /**
   * Makes a ref, which keeps the named thing from garbage collection. Parts of `ref` between slashes become directories.
   * A power failure may take it back until the next `sync`.
   * @returns false when it was there already
   * @throws NotFoundError when `name` does not exist: a ref to nothing would make garbage collections fail
   */
  writeRef(area: Area, ref: ByteString, name: ByteString): boolean {
    this.#checkWritable();
    checkPath(ref);
    if (this.lookup(area, name) === undefined) throw new NotFoundError(`there is no "${showBytes(name)}" in ${area} to refer to`);
    return writeLink(this.root, `${area}/refs/${ref}`, `${'../'.repeat(ref.split('/').length)}${name}`);
  }

  /** Removes a ref. @returns false when there was none */
  removeRef(area: Area, ref: ByteString): boolean {
    this.#checkWritable();
    checkPath(ref);
    return removeLink(this.root, `${area}/refs/${ref}`);
  }

  /**
   * Takes the repository for this process alone, for good: waits until nobody else has it open, and nobody can open it until
   * this one is disposed. While it waits, others that wait for the same may come first: what was read before may have changed.
   * @param signal ends the wait
   */
  async lockExclusive(signal?: AbortSignal): Promise<void> {
    await lock(this.root, 'exclusive', { signal, onWait: this.#onWait });
  }

  [Symbol.dispose](): void {
    this.#objects?.[Symbol.dispose]();
    this.root.close();
  }

  #openObjects(): Fd {
    if (this.writable) return makeDirectories(this.root, 'objects');
    try {
      return openDirectory(this.root, 'objects');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw new NotFoundError('the repository has no objects yet', { cause: error });
      throw error;
    }
  }

  #checkWritable(): void {
    if (!this.writable) throw new BridgeError('REPOSITORY_READ_ONLY', 'the repository was opened for reading only');
  }
}

/** Where a repository is when nobody says: the system's for root, one in the home directory for everyone else. */
export function defaultRepositoryPath(kind: 'system' | 'user' = process.getuid?.() === 0 ? 'system' : 'user'): string {
  return kind === 'system' ? '/sysroot/composefs' : join(homedir(), '.var/lib/composefs');
}

/** Locks the repository against garbage collections, and ends a migration that was interrupted in its last step. */
async function lockAndReadMeta(root: Fd, path: string, { signal, onUpgrade, onWait }: OpenOptions): Promise<ReturnType<typeof readMeta>> {
  for (;;) {
    await lock(root, 'shared', { signal, onWait });
    if (onUpgrade && !hasMeta(root)) {
      const meta = upgradeRepository(root, path);
      if (meta !== undefined) onUpgrade(meta);
    }
    const found = readMeta(root, path);
    if (!isSwitching(found.meta)) return found;
    await lock(root, 'exclusive', { signal, onWait });
    if (!isSwitching(readMeta(root, path).meta)) continue;
    finishSwitch(root, path);
    removeMigration(root);
  }
}

function hasMeta(root: Fd): boolean {
  return listDirectory(root, '').includes('meta.json');
}

async function lock(root: Fd, kind: 'shared' | 'exclusive', { signal, onWait }: { signal: AbortSignal | undefined; onWait: OpenOptions['onWait'] }): Promise<void> {
  const start = performance.now();
  for (let told = false; !files.flock(root.number, kind); ) {
    if (!told && performance.now() - start > PATIENCE_MS) {
      told = true;
      onWait?.(kind === 'shared' ? 'exclusive' : 'others');
    }
    await setTimeout(kind === 'shared' ? LOCK_INTERVAL_MS : EXCLUSIVE_INTERVAL_MS, undefined, signal && { signal });
  }
}

/**
 * Reads meta.json, and whether it has fs-verity, which is what makes a repository a secure one.
 * @param path of the repository, for messages
 * @throws NotFoundError, FormatError
 */
export function readMeta(root: Fd, path: string): { meta: Meta; verity: boolean } {
  let file: Fd;
  try {
    file = openBeneath(root, 'meta.json', constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new NotFoundError(`meta.json not found in ${path}; this repository must be initialized with "cfsbridge init"`, { cause: error });
    throw error;
  }
  using owned = file;
  return { meta: parseMetaFile(owned, path), verity: files.measureVerity(owned.number) !== null };
}

function parseMetaFile(file: Fd, path: string): Meta {
  try {
    return parseMeta(readSmallFile(file, META_LIMIT).toString('utf8'));
  } catch (error) {
    if (error instanceof FormatError) throw new FormatError(error.code, `${path}/meta.json: ${error.message}`, { cause: error });
    throw error;
  }
}

function openRoot(path: string, openDir: OpenDir): Fd {
  try {
    return openDir(bytesOf(path));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new NotFoundError(`there is no repository at ${path}`, { cause: error });
    throw error;
  }
}
