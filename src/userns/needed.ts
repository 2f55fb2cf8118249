import { statSync } from 'node:fs';
import { systemCode } from '../errors.js';
import { hasCapDacOverride } from '../fd/cap-dac-override.js';
import type { StoreOptions } from '../storage/store.js';

/**
 * Whether a store may have files that only its user's namespace gives access to: of ids that are mapped there, or with
 * a mode that lets nobody in. So it is with the caller's own store, unless permissions do not matter to the caller, who
 * is root, of this machine or of such a namespace. Which files there are is not looked at: the store's index has ids,
 * but no modes.
 */
export function mayNeedUserNamespace({ graphroot, imagestore }: StoreOptions): boolean {
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0 || hasCapDacOverride()) return false;
  return [graphroot, imagestore].some((path) => path !== undefined && ownerOf(path) === uid);
}

function ownerOf(path: string): number | undefined {
  try {
    return statSync(path).uid;
  } catch (error) {
    // What is wrong with it is said when it is opened.
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
