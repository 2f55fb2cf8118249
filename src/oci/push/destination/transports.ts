// Where images can be pushed to. A new transport is a line here, and a file that opens what it names: help and error
// messages go by this table.
import type { RegistryOptions } from '../../../registry/registries.js';
import type { PushNotes } from '../../../repository/push-notes.js';
import type { Destination } from './destination.js';

export interface DestinationOptions {
  registry: RegistryOptions | undefined;
  /** `HOST/PATH` of repositories that may have blobs */
  mountFrom: readonly string[];
  notes: PushNotes | undefined;
}

export interface DestinationTransport {
  /** What follows the colon, for people. */
  readonly form: string;
  /** Whether it leads to a registry, and options about registries make sense. */
  readonly inRegistry?: true;
  /** @param rest what follows the colon */
  open(rest: string, options: DestinationOptions): Promise<Destination>;
}

export const DESTINATIONS: Readonly<Record<string, DestinationTransport>> = {
  docker: { form: '//NAME', inRegistry: true, open: openRegistry },
  registry: { form: 'NAME', inRegistry: true, open: openRegistry },
  oci: {
    form: 'DIR[:NAME]',
    open: async (rest) => (await import('./layout.js')).layoutDestination(rest),
  },
  'oci-archive': {
    form: 'FILE[:NAME]',
    open: async (rest) => (await import('./layout.js')).layoutArchiveDestination(rest),
  },
  dir: { form: 'DIR', open: async (rest) => (await import('./dir.js')).dirDestination(rest) },
  'docker-archive': {
    form: 'FILE[:NAME]',
    open: async (rest) => (await import('./docker-archive.js')).dockerArchiveDestination(rest),
  },
};

async function openRegistry(rest: string, options: DestinationOptions): Promise<Destination> {
  const { registryDestination } = await import('./registry.js');
  return registryDestination(rest, options);
}
