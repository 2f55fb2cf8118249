import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import { bytesOf, showBytes } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { openPath } from '../fd/fd.js';
import type { Algorithm } from '../fsverity/algorithm.js';
import type { ObjectStore } from '../repository/objects.js';
import { transformForOci, type XattrMode } from '../tree/oci-transform.js';
import { scanFolder } from '../tree/scan-folder.js';
import type { Directory } from '../tree/tree.js';
import type { GlobalOptions, Session } from './session.js';

export interface FolderOptions extends GlobalOptions {
  propagateUsrToRoot: boolean;
  xattrs: XattrMode;
}

/**
 * The tree of a folder as its image shows it: by default the folder is taken for the root of an unpacked container image.
 * @param where the algorithm of the digests, or the store that content is put into
 * @throws NotFoundError when a container's root has no /usr
 */
export async function folderTree({ signal }: Session, path: string, options: FolderOptions, where: Algorithm | ObjectStore): Promise<Directory> {
  const root = await scan(path, where, signal);
  if (!options.propagateUsrToRoot) return root;
  if (root.entries.get('usr')?.kind !== 'directory')
    throw new NotFoundError(`${path} has no directory usr whose metadata the root could take; --no-propagate-usr-to-root takes the folder as it is`);
  transformForOci(root, options.xattrs);
  return root;
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
    const below = cause instanceof Error && 'below' in cause && typeof cause.below === 'string' ? showBytes(cause.below) : '';
    throw new Error(`reading ${path}${below}`, { cause });
  }
}
