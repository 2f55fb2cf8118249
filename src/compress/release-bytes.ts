import { loadNative } from '../native.js';

/**
 * Frees the memory of bytes that nobody looks at any more, if they are all of their buffer; they have no length then.
 * Otherwise it is the garbage collector that frees it, and it is started for the memory of buffers: tens of times in a
 * pull from a registry.
 */
export const { releaseBytes } = loadNative<{ releaseBytes(bytes: Uint8Array): void }>();
