import { availableParallelism } from 'node:os';

/** Each layer that is read takes some ten megabytes of buffers, so there is a limit also on large machines. */
const MOST = 8;

/** How many layers to decompress or hash at the same time. */
export const PARALLEL_LAYERS = Math.min(availableParallelism(), MOST);
