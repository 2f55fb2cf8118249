import { parseImageReference, parseStoreReference, storedNameOf, type StoreChoice } from '../../storage/reference.js';

const TRANSPORT = 'containers-storage:';

/** How such a destination looks, for people. */
export const STORE_FORM = `${TRANSPORT}[STORE]NAME`;

/** Where an image is to come to in a containers-storage. */
export interface StoreDestination {
  /** the one that podman uses when left out */
  readonly store: StoreChoice | undefined;
  /** as the store keeps it; undefined where only a store is named */
  readonly name: string | undefined;
}

/** Whether a destination is in a containers-storage. */
export function isStoreDestination(destination: string): boolean {
  return destination.startsWith(TRANSPORT);
}

/**
 * Takes `containers-storage:[STORE]NAME` apart, where both the store in its brackets and the name may be left out.
 * @throws FormatError `BAD_REFERENCE`
 */
export function parseStoreDestination(destination: string): StoreDestination {
  if (/^containers-storage:(?:\[[^\]]*\])?$/.test(destination))
    return { store: parseStoreReference(destination), name: undefined };
  const reference = parseImageReference(destination);
  return { store: reference.store, name: storedNameOf(reference) };
}
