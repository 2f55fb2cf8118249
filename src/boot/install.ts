// Boot entries written to where a boot loader looks for them.
import { randomBytes } from 'node:crypto';
import { constants, fchmodSync, fsyncSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { bytesOf, type ByteString } from '../bytes.js';
import { isErrno, openIn, openPath, type Fd } from '../fd/fd.js';
import { makeFolders } from '../fd/make-folders.js';
import { files } from '../native.js';
import type { Regular } from '../tree/tree.js';
import type { BootPlan } from './plan.js';
import type { StoredFiles } from './stored-files.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Writes what a plan says, the loader's entry last: whoever starts the machine meanwhile finds the old entries or the
 * new one with all that it needs. Each file replaces another one in one step, and only if it has other content. All of
 * it is on the disk afterwards.
 * @param folder where the boot partition is mounted; made if need be. Paths cannot lead out of it
 * @returns paths below the folder that were written
 * @throws FormatError `OBJECT_DAMAGED`, what the file system throws, the signal's reason
 */
export async function installBootEntry(
  folder: string,
  { copies, entry }: BootPlan,
  stored: StoredFiles,
  signal: AbortSignal,
): Promise<ByteString[]> {
  makeFolders(folder);
  using root = openPath(bytesOf(folder), DIRECTORY);
  const written: ByteString[] = [];
  for (const [path, file] of copies) {
    signal.throwIfAborted();
    using place = new Place(root, path);
    if (await isThere(place, file, stored, signal)) continue;
    await place.replace((temporary) =>
      stored.copyTo(file, temporary, () => openIn(place.directory, place.temporary), signal),
    );
    written.push(path);
  }
  if (entry === undefined) return written;
  signal.throwIfAborted();
  using place = new Place(root, entry.path);
  await place.replace((temporary) => writeFile(temporary, entry.bytes, { flag: 'wx', mode: 0o644 }));
  return [...written, entry.path];
}

async function isThere(
  { directory, name }: Place,
  file: Regular,
  stored: StoredFiles,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    using present = openIn(directory, name, constants.O_RDONLY | constants.O_NONBLOCK);
    return (
      (present.stat().mode & constants.S_IFMT) === constants.S_IFREG && (await stored.isContent(present, file, signal))
    );
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENXIO')) return false;
    throw error;
  }
}

/** A file to write: its directory, which is made, and its name in it. */
class Place implements Disposable {
  readonly directory: Fd;
  readonly name: ByteString;
  readonly temporary = `.cfsbridge-${randomBytes(6).toString('hex')}`;

  constructor(root: Fd, path: ByteString) {
    const parts = path.split('/').filter((part) => part !== '');
    this.name = parts.pop() ?? '';
    this.directory = makeDirectories(root, parts);
  }

  /** @param write gets the path of a temporary file to make, which then becomes this one */
  async replace(write: (path: string) => Promise<void>): Promise<void> {
    const { directory, temporary, name } = this;
    try {
      await write(`/proc/self/fd/${directory.number}/${temporary}`);
      using file = openIn(directory, temporary);
      allowReading(file);
      fsyncSync(file.number);
      files.renameat2(directory.number, temporary, directory.number, name, 0);
      fsyncSync(directory.number);
    } catch (error) {
      removeIfThere(directory, temporary);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.directory.close();
  }
}

function makeDirectories(root: Fd, names: readonly ByteString[]): Fd {
  let at = root.duplicate();
  try {
    for (const name of names) {
      using above = at;
      const made = makeDirectory(above, name);
      at = openIn(above, name, DIRECTORY);
      if (made) fsyncSync(above.number);
    }
    return at;
  } catch (error) {
    at.close();
    throw error;
  }
}

function makeDirectory(above: Fd, name: ByteString): boolean {
  try {
    files.mkdirat(above.number, name, 0o755);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Objects may be read-only for their owner alone; file systems for boot loaders often know no modes. */
function allowReading(file: Fd): void {
  try {
    fchmodSync(file.number, 0o644);
  } catch (error) {
    if (!isErrno(error, 'EPERM', 'ENOSYS', 'EOPNOTSUPP')) throw error;
  }
}

function removeIfThere(directory: Fd, name: ByteString): void {
  try {
    files.unlinkat(directory.number, name, 0);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
