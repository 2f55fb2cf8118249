import { constants } from 'node:fs';
import { BridgeError, NotFoundError } from '../../errors.js';
import { knowsEveryId } from '../../fd/cap-dac-override.js';
import { isErrno, openBeneath } from '../../fd/fd.js';
import { bytesOf } from '../../bytes.js';
import { openFolderByOwnLinks } from '../../fd/own-links.js';
import { isRootOrSelf } from '../../fd/peer.js';
import type { LockWait } from '../lock.js';
import { readStoreFile } from '../read-file.js';
import { detectDriver } from '../root.js';
import { Store, type StoreOptions } from '../store.js';
import { StoreFolders } from './folders.js';
import { makeStore } from './make-store.js';
import { layerSettings, unsupported } from './settings.js';
import { LAYERS_STAGING, removeForgotten, TREES_STAGING } from './staging-folder.js';
import { DirectlyWritableStore } from './writable-store.js';
import { writeError } from './write-error.js';

export interface OpenForWritingOptions extends StoreOptions, LockWait {
  /** false: a store that is not there is an error, rather than made */
  create?: boolean | undefined;
  /** whether this process is in a user namespace, and files are those of its users; looked for when left out */
  inUserNamespace?: boolean | undefined;
}

/**
 * Opens a containers-storage of the overlay driver for writing by this process, which has to be root, as podman would
 * write into it; makes one where there is none. What writers that died have left is removed.
 * @param options where it is, and how it is configured, as `discoverStore` says
 * @throws BridgeError `UNKNOWN_DRIVER`, `STORE_UNSUPPORTED` when podman could not use what would be written,
 *   `STORE_READ_ONLY`, `NO_PERMISSION`, `FOREIGN_SYMLINK`, `STORE_BUSY`; NotFoundError with `create: false`
 */
export async function openStoreForWriting(options: OpenForWritingOptions): Promise<DirectlyWritableStore> {
  const { graphroot, create = true, inUserNamespace = !knowsEveryId(), signal, timeout } = options;
  const wait = { signal, timeout };
  const settings = layerSettings(options);
  if (process.geteuid?.() !== 0)
    throw new BridgeError(
      'NO_PERMISSION',
      `files of a store have many owners, so only root can write into ${graphroot}; in "podman unshare" you are root`,
    );
  try {
    if (options.driver === undefined) checkDriver(graphroot);
    using folders = await openFolders(graphroot, create, () => makeStore(graphroot, settings.plainWhiteouts, wait));
    checkOwners(folders);
    checkWritable(folders);
    const plainWhiteouts = settings.plainWhiteouts || isMountedByProgram(folders);
    for (const [above, name] of [
      [folders.trees, TREES_STAGING],
      [folders.layers, LAYERS_STAGING],
    ] as const)
      await removeForgotten(above, name);
    const reader = Store.open({ graphroot, driver: 'overlay' });
    return new DirectlyWritableStore(folders.move(), reader, {
      ...settings,
      plainWhiteouts,
      inUserNamespace,
      runroot: options.writing?.runroot,
    });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR') && !create)
      throw new NotFoundError(`no containers-storage of the overlay driver at ${graphroot}`, { cause: error });
    throw writeError(error, 'nothing', graphroot);
  }
}

/** The folders of a store that is there, or is made. */
async function openFolders(graphroot: string, create: boolean, make: () => Promise<void>): Promise<StoreFolders> {
  try {
    return StoreFolders.open(graphroot);
  } catch (error) {
    if (!create || !isErrno(error, 'ENOENT')) throw error;
  }
  await make();
  return StoreFolders.open(graphroot);
}

/** Where nothing says which driver it is, the folders do. A store that is not there is one of overlay. */
function checkDriver(graphroot: string): void {
  try {
    using root = openFolderByOwnLinks(bytesOf(graphroot));
    layerSettings({ graphroot, driver: detectDriver(root, bytesOf(graphroot)) });
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR') && !(error instanceof NotFoundError)) throw error;
  }
}

/** What is written would be of users who may not have it, and a stranger could exchange it. */
function checkOwners({ graphroot, all }: StoreFolders): void {
  const stranger = all.map((folder) => folder.stat().uid).find((uid) => !isRootOrSelf(uid));
  if (stranger !== undefined)
    throw unsupported(graphroot, `it belongs to user ${stranger}`, 'write into it as that user, in "podman unshare"');
}

/** That nothing can be written is said before layers are unpacked. */
function checkWritable({ layers, images }: StoreFolders): void {
  openBeneath(layers, 'layers.lock', constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o644).close();
  openBeneath(images, 'images.lock', constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o644).close();
}

/** Whether podman has found out that the kernel cannot mount the layers here. */
function isMountedByProgram({ trees }: StoreFolders): boolean {
  return (
    readStoreFile({ dir: trees, owner: undefined }, '.has-mount-program', 16)?.toString('latin1').trim() === 'true'
  );
}
