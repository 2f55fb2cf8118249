// Images that no name keeps and that must stay all the same: mounted, open, or deployed.
import { constants, readdirSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { bytesOf, type ByteString } from '../../bytes.js';
import { openBelievedDirectory } from '../../fd/believed-path.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { linesOf } from '../../fd/read-whole.js';
import { KERNEL_LINE_LIMIT } from '../../limits.js';
import { loadNative, type FdNumber } from '../../native.js';
import { entryType, listDirectory } from '../links.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { pathOfObject } from '../names.js';
import type { Repository } from '../repository.js';

const { inUse } = loadNative<{ inUse(fd: FdNumber): boolean | undefined }>();

/** Where `prepare-boot` keeps the state of deployments, one directory named by image each, beside the repository. */
const DEPLOYMENTS = 'state/deploy';

/**
 * Image digests, or names, of the composefs mounts that can be seen: those in the mount namespaces of all processes
 * whose mounts this process may read. The kernel shows `composefs:<what the mounter called it>` and not in which
 * repository the image is, nor that a name stood for another image then; so `isObjectOpen` is asked first.
 */
export function mountedNames(): Set<string> {
  const names = new Set<string>();
  const seen = new Set<string>();
  for (const pid of ['self', ...readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))]) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      seen.add(namespace);
      // Each user may make mounts, as many as the kernel lets be, in a namespace of their own.
      for (const line of linesOf(`/proc/${pid}/mountinfo`, KERNEL_LINE_LIMIT))
        for (const name of namesInMountinfo(line)) names.add(name);
    } catch (error) {
      // Processes end while we look, and those of others may be hidden.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM', 'ESRCH', 'EINVAL')) throw error;
    }
  }
  return names;
}

/** What stands after `composefs:` as the source of overlay mounts in a mountinfo file. */
export function namesInMountinfo(text: string): string[] {
  return [...text.matchAll(/ - overlay composefs:(\S+) /g)].map(([, name = '']) =>
    name.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
}

/**
 * Digests in the names of deployments that belong to this repository: beside it, and beside the symlink that it was
 * opened by.
 * @throws BridgeError `SYMLINK_OWNER`: what stays must not be up to whoever made that symlink
 */
export function deployedNames(repository: Repository): ByteString[] {
  const above = [`/proc/self/fd/${repository.root.number}/..`, dirname(resolve(repository.path))];
  return [...new Set(above.flatMap((folder) => deployedBelow(bytesOf(`${folder}/${DEPLOYMENTS}`))))];
}

function deployedBelow(path: ByteString): ByteString[] {
  try {
    using folder = openBelievedDirectory(path);
    return listDirectory(folder, '').filter(
      (name) => /^[0-9a-f]+$/.test(name) && entryType(folder, name) === constants.S_IFDIR,
    );
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw error;
  }
}

/**
 * Whether somebody has an object open: a mount made from it, in whatever namespace, or a process. Undefined when the
 * kernel does not say, because the file is another user's or its file system has no leases.
 */
export function isObjectOpen(repository: Repository, id: ObjectId): boolean | undefined {
  let file: Fd;
  try {
    file = openBeneath(repository.root, pathOfObject(id), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP')) return false;
    if (isErrno(error, 'EACCES')) return undefined;
    throw error;
  }
  using owned = file;
  return inUse(owned.number) ?? undefined;
}
