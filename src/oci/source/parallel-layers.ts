import { availableParallelism } from 'node:os';

/** How many layers to take from a source at the same time. */
export const PARALLEL_LAYERS = {
  /** Parsing a layer's recipe is one thread's work, the pool's threads do the rest; more at once gain nothing. */
  store: 2,
  /** A server may hold a lock for each layer until it is done with. */
  server: 1,
  /** Folders that are lent cost a server nothing, so that it can find the next layer while this one is read. */
  lendingServer: 2,
  /** So many connections fill most lines; each costs the buffers of a decompressor. */
  registry: 3,
  /** Decompressing and hashing want a processor each; some ten megabytes of buffers for each want a limit. */
  content: Math.min(availableParallelism(), 8),
} as const;
