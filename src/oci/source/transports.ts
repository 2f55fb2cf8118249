// Where images are taken from. A new transport is a line here, and a file that opens what it names: help, completion
// and error messages go by this table.
import type { Abortable } from '../../abortable.js';
import type { OpenDir } from '../../fd/fd.js';
import type { Platform } from '../../spec/platform.js';
import type { Admit } from '../../registry/policy/image-to-check.js';
import type { PolicyChoice } from '../../registry/policy/policy.js';
import type { MountClone } from '../../storage/mount-clone.js';
import type { RegistryImageOptions } from './registry.js';
import type { ImageSource } from './source.js';

export interface OpenSourceOptions extends Abortable, PolicyChoice {
  /** which image of an index to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** for `containers-storage:`, see `linkingMount` */
  openDir?: OpenDir | undefined;
  /** for `oci:`: a folder that has the blobs of several layouts */
  sharedBlobDir?: string | undefined;
  /**
   * for `docker-archive:`, which has no manifest: of what kind to make one. Docker's is the one that skopeo makes, with
   * the layers as tars, whatever they are in the archive; default: OCI's, with the layers as they are
   */
  manifestOfArchives?: 'oci' | 'docker' | undefined;
  /** for `docker:` and `registry:`, and what an image proxy opens */
  registry?: Omit<RegistryImageOptions, 'platform' | 'signal' | 'admit' | keyof PolicyChoice> | undefined;
}

interface SourceOptions extends OpenSourceOptions {
  /** decides whether the image may come in; default: it may */
  admit?: Admit | undefined;
}

export interface Transport {
  /** What follows the colon, for people. */
  readonly form: string;
  /** Whether its images are in a registry, and options about registries make sense. */
  readonly inRegistry?: true;
  /** Whether it is an image proxy that knows it, and options for that make sense. */
  readonly proxied?: true;
  /** @param rest what follows the colon */
  open(rest: string, options: SourceOptions): Promise<ImageSource>;
  /** What hard links from its files into a repository need, for those whose files can be shared. */
  linkingMount?(rest: string, repository: string): Promise<MountClone | undefined>;
}

const STORAGE = 'containers-storage:';

// Each file is imported when it is needed: most commands open no image, and the HTTP client is larger than all else.
export const TRANSPORTS: Readonly<Record<string, Transport>> = {
  'containers-storage': {
    form: 'NAME',
    open: async (rest, options) => (await import('./storage.js')).openStorageImage(`${STORAGE}${rest}`, options),
    linkingMount: async (rest, repository) =>
      (await import('./storage.js')).linkingMount(`${STORAGE}${rest}`, repository),
  },
  oci: { form: 'DIR[:NAME]', open: async (...image) => (await import('./layout.js')).openLayoutImage(...image) },
  'oci-archive': {
    form: 'FILE[:NAME]',
    open: async (...image) => (await import('./layout.js')).openLayoutArchive(...image),
  },
  'docker-archive': {
    form: 'FILE[:NAME]',
    open: async (...image) => (await import('./docker-archive.js')).openDockerArchive(...image),
  },
  dir: { form: 'DIR', open: async (...image) => (await import('./dir.js')).openDirImage(...image) },
  'docker-daemon': {
    form: 'NAME[:TAG]',
    open: async (rest, { signal, admit }) =>
      (await import('./docker-daemon.js')).openDaemonImage(rest, { signal, admit }),
  },
  docker: { form: '//NAME', inRegistry: true, open: openRegistry },
  registry: { form: 'NAME', inRegistry: true, open: openRegistry },
  // Those of skopeo that nothing here reads.
  sif: { form: 'FILE', proxied: true, open: openProxied('sif') },
  tarball: { form: 'FILE', proxied: true, open: openProxied('tarball') },
};

async function openRegistry(rest: string, { registry, ...options }: SourceOptions): Promise<ImageSource> {
  const { openRegistryImage } = await import('./registry.js');
  return openRegistryImage(rest, { ...registry, ...options, policy: 'any' });
}

function openProxied(name: string): Transport['open'] {
  return async (rest, { registry, policy, requireSigned, platform, signal }) => {
    const { openProxyImage } = await import('./proxy/image.js');
    return openProxyImage(`${name}:${rest}`, { ...registry, policy, requireSigned, platform, signal });
  };
}
