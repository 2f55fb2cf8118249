import { NotFoundError } from '../errors.js';
import { discoverStore } from '../storage/discover.js';
import type { StoreChoice } from '../storage/reference.js';
import type { WritableStore } from '../storage/write/writable-store.js';
import { openStoreForWriting } from '../userns/open-store-for-writing.js';

/** Opens the store that a reference names, or that podman uses, for writing. @returns to be disposed */
export async function openStore(choice: StoreChoice | undefined, signal: AbortSignal): Promise<WritableStore> {
  return await openStoreForWriting({ ...discoverStore(choice), signal });
}

/** The same for who changes nothing. @returns undefined when there is no store yet */
export async function openStoreIfThere(
  choice: StoreChoice | undefined,
  signal: AbortSignal,
): Promise<WritableStore | undefined> {
  try {
    return await openStoreForWriting({ ...discoverStore(choice), create: false, signal });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
