import { randomBytes } from 'node:crypto';
import { constants, fsyncSync, writeFileSync } from 'node:fs';
import { bytesOf, printable, type ByteString } from '../../bytes.js';
import { FormatError, NotFoundError } from '../../errors.js';
import { isErrno, openBeneath, openDirectoryPath, openIn, type Fd } from '../../fd/fd.js';
import { isRootOrSelf } from '../../fd/peer.js';
import { readSmallFile } from '../../fd/read-file.js';
import { OSTREE_CONFIG_LIMIT, OSTREE_METADATA_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import { checkName, makeDirectories } from '../../repository/links.js';
import { isChecksum, type Checksum } from '../object/checksum.js';
import { modeOf, type RepositoryMode } from './config.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;
const READ = constants.O_RDONLY | constants.O_NONBLOCK;

/** A repository of ostree on this machine, open for reading. */
export class OstreeFolder implements Disposable {
  readonly path: string;
  readonly mode: RepositoryMode;
  /** Nobody but root and the caller can write to it. */
  readonly trusted: boolean;
  readonly objects: Fd;
  readonly #root: Fd;
  readonly #temporary: Fd;

  /** @throws NotFoundError when there is none, FormatError for a config that is none */
  static open(path: string): OstreeFolder {
    using root = orMissing(() => openDirectoryPath(bytesOf(path)), `there is no ostree repository at ${path}`);
    using config = orMissing(() => openIn(root, 'config', READ), `${path} is no ostree repository: it has no config`);
    const mode = modeOf(readSmallFile(config, OSTREE_CONFIG_LIMIT).toString('utf8'));
    using objects = orMissing(
      () => openIn(root, 'objects', DIRECTORY),
      `${path} is no ostree repository: it has no objects`,
    );
    // As ostree and cfsctl have it: what looks like a repository may be a part of one.
    using temporary = orMissing(() => openIn(root, 'tmp', DIRECTORY), `${path} is no ostree repository: it has no tmp`);
    return new OstreeFolder(path, mode, { root: root.move(), objects: objects.move(), temporary: temporary.move() });
  }

  private constructor(
    path: string,
    mode: RepositoryMode,
    { root, objects, temporary }: { root: Fd; objects: Fd; temporary: Fd },
  ) {
    this.path = path;
    this.mode = mode;
    this.trusted = isRootOrSelf(root.stat().uid);
    this.#root = root;
    this.objects = objects;
    this.#temporary = temporary;
  }

  /**
   * The commit that a ref, or a whole id, stands for.
   * @throws NotFoundError when there is no such ref; FormatError when it holds something else
   */
  resolve(ref: string): Checksum {
    if (isChecksum(ref)) return ref.toLowerCase();
    const missing = `Cannot open ostree ref at refs/heads/${printable(ref)}`;
    if (ref.split('/').some((part) => part === '' || part === '.' || part === '..') || ref.includes('\0'))
      throw new NotFoundError(missing);
    using file =
      this.#openRef(`refs/${bytesOf(ref)}`) ?? orMissing(() => this.#open(`refs/heads/${bytesOf(ref)}`), missing);
    const text = readSmallFile(file, 256).toString('latin1').trim();
    if (!isChecksum(text))
      throw new FormatError('OSTREE_REPOSITORY', `ref ${printable(ref)} of ${this.path} has no commit id`);
    return text.toLowerCase();
  }

  /**
   * Gives a commit a name, below refs/heads, in one step: whatever interrupts it, no other file is left there, which
   * ostree would take for a ref.
   * @throws BridgeError `INVALID_NAME`
   */
  writeRef(ref: string, commit: Checksum): void {
    const parts = bytesOf(ref).split('/');
    parts.forEach(checkName);
    const name = parts.pop() as ByteString;
    using folder = makeDirectories(this.#root, ['refs/heads', ...parts].join('/'));
    const [at, temporary] = [this.#temporary, `ref-${randomBytes(9).toString('hex')}`];
    using file = openBeneath(at, temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    try {
      writeFileSync(file.number, `${commit}\n`);
      fsyncSync(file.number);
      files.renameat2(at.number, temporary, folder.number, name, 0);
    } catch (error) {
      files.unlinkat(at.number, temporary, 0);
      throw error;
    }
    fsyncSync(folder.number);
  }

  /** The detached metadata of a commit, where its signatures are; undefined when there is none. */
  signatures(commit: Checksum): Buffer | undefined {
    try {
      using file = openObject(this.objects, commit, 'commitmeta');
      return readSmallFile(file, OSTREE_METADATA_LIMIT);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.objects.close();
    this.#temporary.close();
    this.#root.close();
  }

  #openRef(path: ByteString): Fd | undefined {
    try {
      return this.#open(path);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  /** Refs may be symlinks to others. */
  #open(path: ByteString): Fd {
    using file = openIn(this.#root, path, READ);
    if ((file.stat().mode & constants.S_IFMT) !== constants.S_IFREG)
      throw new FormatError('OSTREE_REPOSITORY', `${printable(path)} of ${this.path} is no file`);
    return file.move();
  }
}

/** Where an object's file is below the folder of all of them. */
export function objectPath(id: Checksum, extension: string): ByteString {
  return `${id.slice(0, 2)}/${id.slice(2)}.${extension}`;
}

/** Opens an object's file. @throws NotFoundError when there is none */
export function openObject(objects: Fd, id: Checksum, extension: string, flags: number = READ): Fd {
  try {
    return openBeneath(objects, objectPath(id, extension), flags);
  } catch (cause) {
    throw orMissingObject(cause, id, extension);
  }
}

/** What to throw where an object's file could not be opened. */
export function orMissingObject(cause: unknown, id: Checksum, extension: string): unknown {
  return isMissing(cause)
    ? new NotFoundError(`object ${id}.${extension} is missing in the ostree repository`, { cause })
    : cause;
}

/** Whether there is such a file. */
export function isThere(objects: Fd, id: Checksum, extension: string): boolean {
  try {
    openObject(objects, id, extension).close();
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

function orMissing(open: () => Fd, message: string): Fd {
  try {
    return open();
  } catch (cause) {
    throw isMissing(cause) ? new NotFoundError(message, { cause }) : cause;
  }
}

function isMissing(error: unknown): boolean {
  return isErrno(error, 'ENOENT', 'ENOTDIR');
}
