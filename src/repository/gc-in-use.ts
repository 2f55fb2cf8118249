// Images that no name keeps and that must stay all the same: mounted, open, or deployed.
import { constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { isErrno, openBeneath, openPath, type Fd } from '../fd/fd.js';
import { loadNative } from '../native.js';
import { entryType, listDirectory } from './links.js';
import { objectPath, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

const { inUse } = loadNative<{ inUse(fd: number): boolean | null }>();

/** Where `prepare-boot` keeps the state of deployments, one directory named by image each, beside the repository. */
const DEPLOYMENTS = '../state/deploy';

/**
 * Image digests, or names, of the composefs mounts that can be seen: those in the mount namespaces of all processes whose
 * mounts this process may read. The kernel shows `composefs:<what the mounter called it>` and not in which repository the
 * image is, nor that a name stood for another image then; so `isObjectOpen` is asked first.
 */
export function mountedNames(): Set<string> {
  const names = new Set<string>();
  const seen = new Set<string>();
  for (const pid of ['self', ...readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))]) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      seen.add(namespace);
      for (const name of namesInMountinfo(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'))) names.add(name);
    } catch (error) {
      // Processes end while we look, and those of others may be hidden.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM', 'ESRCH', 'EINVAL')) throw error;
    }
  }
  return names;
}

/** What stands after `composefs:` as the source of overlay mounts in a mountinfo file. */
export function namesInMountinfo(text: string): string[] {
  return [...text.matchAll(/ - overlay composefs:(\S+) /g)].map(([, name = '']) => name.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))));
}

/** Digests in the names of deployments that belong to this repository. */
export function deployedNames(repository: Repository): ByteString[] {
  try {
    using folder = openPath(`/proc/self/fd/${repository.root.number}/${DEPLOYMENTS}`, constants.O_RDONLY | constants.O_DIRECTORY);
    return listDirectory(folder, '').filter((name) => /^[0-9a-f]+$/.test(name) && entryType(folder, name) === constants.S_IFDIR);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw error;
  }
}

/**
 * Whether somebody has an object open: a mount made from it, in whatever namespace, or a process. Undefined when the kernel does
 * not say, because the file is another user's or its file system has no leases.
 */
export function isObjectOpen(repository: Repository, id: ObjectId): boolean | undefined {
  let file: Fd;
  try {
    file = openBeneath(repository.root, `objects/${objectPath(id)}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP')) return false;
    if (isErrno(error, 'EACCES')) return undefined;
    throw error;
  }
  using owned = file;
  return inUse(owned.number) ?? undefined;
}
