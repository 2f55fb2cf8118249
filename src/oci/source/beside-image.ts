import type { StoreExtras } from './source.js';

/**
 * What a containers-storage keeps with an image that comes from elsewhere, where it has no names.
 * @param list exact bytes of the outermost list that it was chosen from
 * @param signatures of the image itself, as they are kept
 */
export function besideImage(list: Buffer | undefined, signatures: readonly Buffer[] = []): StoreExtras {
  const lists = list === undefined ? [] : [{ manifest: list, signatures: [] }];
  return { names: undefined, namesHistory: [], signatures, lists };
}
