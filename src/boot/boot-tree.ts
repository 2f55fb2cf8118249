import type { ObjectStore } from '../repository/objects.js';
import { readContent } from '../repository/read-content.js';
import type { Directory } from '../tree/tree.js';
import type { BootEntry } from './boot-entry.js';
import { bootEntries } from './entries.js';
import { StoredFiles } from './stored-files.js';
import { transformForBoot } from './transform.js';

/**
 * Turns the tree of a system whose files are in a repository into the tree to boot from, in place.
 * @returns the boot entries, whose files the tree does not have any more
 * @throws as `bootEntries` and `transformForBoot`
 */
export function toBootTree(root: Directory, objects: ObjectStore): BootEntry[] {
  const entries = bootEntries(root, new StoredFiles(objects));
  transformForBoot(root, (file) => readContent(objects, file));
  return entries;
}
