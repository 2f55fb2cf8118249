import { openStoreForWriting as openAsRoot, type OpenForWritingOptions } from '../storage/write/open.js';
import type { WritableStore } from '../storage/write/writable-store.js';
import { RootlessStore } from './rootless-store.js';

/**
 * Opens a containers-storage of the overlay driver for writing, as podman would write into it; makes one where there is
 * none. What writers that died have left is removed. For an ordinary user, a process in the user's namespace writes.
 * @param options where it is, and how it is configured, as `discoverStore` says
 * @throws BridgeError `UNKNOWN_DRIVER`, `STORE_UNSUPPORTED` when podman could not use what would be written,
 *   `STORE_READ_ONLY`, `NO_PERMISSION`, `FOREIGN_SYMLINK`, `STORE_BUSY`, `USER_NAMESPACE`; NotFoundError with
 *   `create: false`; the signal's reason
 * @example
 * ```ts
 * import { discoverStore, openStoreForWriting, Store } from 'composefs-bridge';
 *
 * using from = Store.open(discoverStore());
 * await using to = await openStoreForWriting({ graphroot: '/srv/storage' });
 * const image = await from.image('docker.io/library/debian:12');
 * let topLayer: string | undefined;
 * for (const { id, diffId = '' } of await from.layers(image)) {
 *   const stream = await from.layerStream({ id }, { lease: 'descriptors' });
 *   ({ id: topLayer } = await to.putLayer(stream, { parent: topLayer, diffId }));
 * }
 * await to.putImage({ manifest: image.manifest(), config: image.config(), topLayer, names: image.names });
 * console.log((await to.images()).length); // 1
 * ```
 */
export async function openStoreForWriting(options: OpenForWritingOptions): Promise<WritableStore> {
  return (process.geteuid?.() ?? 0) === 0 ? await openAsRoot(options) : await RootlessStore.open(options);
}
