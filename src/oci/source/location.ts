import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { MountClone } from '../../storage/mount-clone.js';
import { openSource, splitReference } from './open.js';
import type { ImageSource } from './source.js';
import type { OpenSourceOptions } from './transports.js';

/** Where an image is, and what has to be known of it before it and the repository for it are opened. */
export interface ImageLocation {
  /** Whether options about registries make sense. */
  readonly inRegistry: boolean;
  /** Whether an image proxy opens it, and options about registries are handed on to that. */
  readonly proxied: boolean;
  /**
   * What hard links into this repository need, if there is such a thing: the `openDir` for both, to be disposed after
   * both.
   */
  linkingMount(repository: string): Promise<MountClone | undefined>;
  /** @throws as `openSource` or `openSocketImage` */
  open(options: OpenSourceOptions): Promise<ImageSource>;
}

/** @param reference as `openSource` takes it */
export function locateImage(reference: string): ImageLocation {
  const { transport, rest } = splitReference(reference);
  return {
    inRegistry: transport?.inRegistry === true,
    proxied: transport?.proxied === true,
    linkingMount: async (repository) =>
      existsSync(repository) ? transport?.linkingMount?.(rest, repository) : undefined,
    open: (options) => openSource(reference, options),
  };
}

/**
 * An image that a server passes.
 * @param reference as `openSocketImage` takes it
 * @param repository the server's, for servers that have several
 */
export function locateServedImage(socket: string, reference: string, repository?: string): ImageLocation {
  return {
    inRegistry: false,
    proxied: false,
    linkingMount: async () => undefined,
    open: async ({ platform, signal }) => {
      const { openSocketImage } = await import('./socket.js');
      return openSocketImage(socket, reference, {
        platform,
        signal,
        // The server runs in another folder.
        repository: repository === undefined ? undefined : resolve(repository),
      });
    },
  };
}

/**
 * An image that an image proxy opens.
 * @param reference as `openProxyImage` takes it
 * @param command default: skopeo
 */
export function locateProxiedImage(reference: string, command?: readonly string[]): ImageLocation {
  return {
    inRegistry: false,
    proxied: true,
    linkingMount: async () => undefined,
    open: async ({ registry, policy, requireSigned, platform, signal }) => {
      const { openProxyImage } = await import('./proxy/image.js');
      return openProxyImage(reference, { ...registry, policy, requireSigned, command, platform, signal });
    },
  };
}
