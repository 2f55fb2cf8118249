import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import { toBootTree } from '../boot/boot-tree.js';
import type { ReadContent } from '../boot/selinux/own-policy.js';
import { transformForBoot } from '../boot/transform.js';
import { bytesOf, showBytes } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { openBeneath, openPath } from '../fd/fd.js';
import type { Algorithm } from '../fsverity/algorithm.js';
import { verityDigest } from '../fsverity/digest.js';
import { CONFIG_FILE_LIMIT } from '../limits.js';
import type { ObjectStore } from '../repository/objects.js';
import { readSmallFile } from '../fd/read-file.js';
import { transformForOci, type XattrMode } from '../tree/oci-transform.js';
import { scanFolder } from '../tree/scan-folder.js';
import type { Directory } from '../tree/tree.js';
import type { GlobalOptions, Session } from './session.js';

export interface FolderOptions extends GlobalOptions {
  propagateUsrToRoot: boolean;
  xattrs: XattrMode;
  bootable?: true;
}

/**
 * The tree of a folder as its image shows it: by default the folder is taken for the root of an unpacked container
 * image.
 * @param where the algorithm of the digests, or the store that content is put into
 * @throws NotFoundError when a container's root has no /usr; with `bootable` what `transformForBoot` throws
 */
export async function folderTree(
  { signal }: Session,
  path: string,
  options: FolderOptions,
  where: Algorithm | ObjectStore,
): Promise<Directory> {
  const root = await scan(path, where, signal);
  if (options.propagateUsrToRoot) asContainer(root, path, options.xattrs);
  if (options.bootable && typeof where === 'string') transformForBoot(root, readerBelow(path, where));
  else if (options.bootable) toBootTree(root, where as ObjectStore);
  return root;
}

function asContainer(root: Directory, path: string, xattrs: XattrMode): void {
  if (root.entries.get('usr')?.kind !== 'directory')
    throw new NotFoundError(
      `${path} has no directory usr whose metadata the root could take; --no-propagate-usr-to-root takes the ` +
        'folder as it is',
    );
  transformForOci(root, xattrs);
}

/** Reads files where they lie, and makes sure that they are what was hashed. */
function readerBelow(path: string, algorithm: Algorithm): ReadContent {
  return ({ content }, names) => {
    if (content.kind === 'inline') return content.bytes;
    if (content.kind !== 'object') return Buffer.alloc(0);
    using folder = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
    using file = openBeneath(folder, names.join('/'), constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = readSmallFile(file, CONFIG_FILE_LIMIT);
    if (verityDigest(bytes, algorithm).toString('hex') === content.id) return bytes;
    throw new BridgeError('SOURCE_CHANGED', `${path}/${showBytes(names.join('/'))} changed while it was read`);
  };
}

async function scan(path: string, where: Algorithm | ObjectStore, signal: AbortSignal): Promise<Directory> {
  try {
    using folder = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
    return await scanFolder(folder, {
      xattrs: 'all',
      devices: true,
      hardlinks: true,
      threads: availableParallelism(),
      signal,
      ...(typeof where === 'string' ? { algorithm: where } : { algorithm: where.algorithm, store: where }),
    });
  } catch (cause) {
    signal.throwIfAborted();
    const below =
      cause instanceof Error && 'below' in cause && typeof cause.below === 'string' ? showBytes(cause.below) : '';
    throw new Error(`reading ${path}${below}`, { cause });
  }
}
