// What has arrived of large blobs is kept beside their stream, so that a pull that was killed is continued by the next
// one.
import { constants, read, statfsSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { bytesOf, type ByteString } from '../bytes.js';
import { debug } from '../debug.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { listDirectory } from './links.js';
import { PARTS } from './names.js';
import { openPrivateFolder } from './private-folder.js';
import type { BlobFacts } from '../spec/manifest.js';

const readInto = promisify(read);
const writeAll = promisify(write);

const AT_REMOVEDIR = 0x200;
/** Smaller blobs are fetched again sooner than it would be worth a file. */
const SMALLEST = 8 << 20;
/** So much is written at once; a kill costs no more of a blob. */
const WRITTEN_AT_ONCE = 1 << 20;
const READ_AT_ONCE = 256 << 10;
/** Of the free space, all parts together may have this share. */
const SHARE = 10;

/**
 * The folder of a repository with the parts of blobs. A garbage collection removes it while nobody has it open.
 * @example
 * ```ts
 * import { KeptParts, openRegistryImage, pullImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * using parts = KeptParts.open(repository.root, undefined, ({ digest }) => console.error(`not kept: ${digest}`));
 * await using source = await openRegistryImage('//registry.example.org/a/b:1', { parts });
 * const { tag } = await pullImage(repository, source, { name: 'b' });
 * console.log(tag); // b
 * ```
 */
export class KeptParts implements Disposable {
  readonly #root: Fd;
  readonly #folder: Fd;
  readonly #limit: number;
  readonly #onTooLarge: (blob: BlobFacts, limit: number) => void;
  /** Blobs that came as a whole, and of which nothing in the repository has a name yet. */
  readonly #whole = new Set<ByteString>();
  /** Sizes that blobs which are being fetched will have. */
  readonly #reserved = new Map<ByteString, number>();

  /**
   * @param root the repository's folder
   * @param limit most bytes of all parts together; default: a tenth of the free space
   * @param onTooLarge hears of a blob that is not kept for that reason
   * @returns undefined where parts cannot be kept: the folder is somebody else's
   */
  static open(
    root: Fd,
    limit: number | undefined,
    onTooLarge: (blob: BlobFacts, limit: number) => void,
  ): KeptParts | undefined {
    const folder = openPrivateFolder(root, PARTS);
    return folder === undefined
      ? undefined
      : new KeptParts(root, folder, limit ?? freeSpace(folder) / SHARE, onTooLarge);
  }

  private constructor(root: Fd, folder: Fd, limit: number, onTooLarge: (blob: BlobFacts, limit: number) => void) {
    this.#root = root;
    this.#folder = folder;
    this.#limit = Math.floor(limit);
    this.#onTooLarge = onTooLarge;
  }

  /** @returns undefined for a blob that is not kept: it is small, too large, or another pull has it */
  open(blob: BlobFacts): KeptPart | undefined {
    const { digest, size } = blob;
    if (size <= SMALLEST) return undefined;
    const name = partName(digest);
    if (size + this.#others(name) > this.#limit) {
      this.#onTooLarge(blob, this.#limit);
      return undefined;
    }
    const fd = this.#openFile(name, size);
    if (fd === undefined) return undefined;
    this.#reserved.set(name, size);
    debug(() => `blob ${digest}: ${fd.stat().size} bytes were kept`);
    return new KeptPart(fd, fd.stat().size, (how) => {
      this.#reserved.delete(name);
      if (how === 'removed') this.#remove(name);
      else if (how === 'whole') this.#whole.add(name);
    });
  }

  /** What a whole blob was fetched for has its name. */
  drop(digest: string): void {
    const name = partName(digest);
    if (this.#whole.delete(name)) this.#remove(name);
  }

  /** Lets go of the folder, and removes it when it is empty. What came as a whole and is not in was the wrong thing. */
  close(): void {
    try {
      for (const name of this.#whole) this.#remove(name);
      files.unlinkat(this.#root.number, PARTS, AT_REMOVEDIR);
    } catch (error) {
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error;
    } finally {
      this.#folder.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Another pull of the same blob may have been faster. */
  #remove(name: ByteString): void {
    try {
      files.unlinkat(this.#folder.number, name, 0);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }

  #openFile(name: ByteString, size: number): Fd | undefined {
    let fd: Fd;
    try {
      fd = openBeneath(
        this.#folder,
        name,
        constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK,
        0o600,
      );
    } catch (error) {
      // Another pull that ended has removed the empty folder, or something else is in the file's place.
      if (isErrno(error, 'ENOENT', 'ELOOP', 'EISDIR', 'EACCES', 'ENXIO')) return undefined;
      throw error;
    }
    const found = fd.stat();
    const usable =
      (found.mode & constants.S_IFMT) === constants.S_IFREG &&
      found.nlink === 1 &&
      found.size <= size &&
      files.flock(fd.number, 'exclusive');
    if (usable) return fd;
    fd.close();
    return undefined;
  }

  /** What all other parts have, or will have. */
  #others(except: ByteString): number {
    let sum = 0;
    for (const name of listDirectory(this.#folder, '')) {
      if (name !== except) sum += this.#reserved.get(name) ?? files.fstatat(this.#folder.number, name).size;
    }
    return sum;
  }
}

/** What becomes of a part: it is left to the next pull, as a whole blob until it is dropped; or it goes. */
export type PartEnd = 'kept' | 'whole' | 'removed';

/**
 * The beginning of one blob, which grows. Nothing is synced: the blob's digest shows what a crash of the machine did to
 * it.
 */
export class KeptPart {
  /** how many bytes there were at first */
  readonly length: number;
  readonly #fd: Fd;
  readonly #close: (how: PartEnd) => void;
  /** One is filled while what is in the other is written. */
  #gathered: Buffer | undefined;
  #spare: Buffer | undefined;
  #gatheredLength = 0;
  #written: number;
  #pending: Promise<unknown> = Promise.resolve();
  #failed = false;

  constructor(fd: Fd, length: number, close: (how: PartEnd) => void) {
    this.#fd = fd;
    this.length = length;
    this.#written = length;
    this.#close = close;
  }

  /** What was there at first. */
  async *bytes(): AsyncGenerator<Buffer, void, void> {
    for (let at = 0; at < this.length; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_AT_ONCE, this.length - at));
      const reading = readInto(this.#fd.number, buffer, 0, buffer.length, at);
      this.#pending = reading;
      const { bytesRead } = await reading;
      if (bytesRead === 0) throw new Error('a kept part became shorter while it was read');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Adds bytes, which are copied. Where they cannot be written, the blob is not kept. */
  async append(bytes: Buffer): Promise<void> {
    for (let from = 0; from < bytes.length && !this.#failed; ) {
      this.#gathered ??= Buffer.allocUnsafeSlow(WRITTEN_AT_ONCE);
      const copied = bytes.copy(this.#gathered, this.#gatheredLength, from);
      this.#gatheredLength += copied;
      from += copied;
      if (this.#gatheredLength < WRITTEN_AT_ONCE) return;
      await this.#pending;
      this.#flush();
    }
  }

  /** Closes it. Where bytes could not be written, it goes. */
  async end(how: PartEnd): Promise<void> {
    // A descriptor number that is closed under a running write may already mean another file.
    await this.#pending.catch(() => undefined);
    if (how !== 'removed') {
      this.#flush();
      await this.#pending.catch(() => undefined);
    }
    this.#close(this.#failed ? 'removed' : how);
    this.#fd.close();
  }

  #flush(): void {
    const block = this.#gathered;
    const length = this.#gatheredLength;
    if (block === undefined || length === 0 || this.#failed) return;
    const at = this.#written;
    this.#gathered = this.#spare;
    this.#spare = block;
    this.#gatheredLength = 0;
    this.#written += length;
    this.#pending = writeAll(this.#fd.number, block, 0, length, at).then(
      ({ bytesWritten }) => {
        if (bytesWritten < length) this.#failed = true;
      },
      (error: unknown) => {
        debug(() => `a part of a blob is not kept: ${String(error)}`);
        this.#failed = true;
      },
    );
  }
}

const partName = (digest: string): ByteString => bytesOf(digest.replace(':', '-'));

function freeSpace(folder: Fd): number {
  const { bavail, bsize } = statfsSync(`/proc/self/fd/${folder.number}`);
  return bavail * bsize;
}
