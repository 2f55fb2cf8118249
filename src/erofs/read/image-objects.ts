import type { ObjectId } from '../../fsverity/object-id.js';
import type { Content } from '../../tree/tree.js';
import { readErofs } from './reader.js';

/**
 * The objects an image's files lead to, each once, in ascending order.
 * @throws FormatError EROFS
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { imageObjects, objectPath } from 'composefs-bridge';
 *
 * for (const id of imageObjects(readFileSync('image.cfs'))) console.log(objectPath(id)); // 5a/5a5a5a…
 * ```
 */
export function imageObjects(image: Buffer): ObjectId[] {
  const ids = new Set<ObjectId>();
  const pending = [readErofs(image).root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.entries.values()) {
      if (node.kind === 'directory') pending.push(node);
      else if (node.kind === 'regular') for (const id of objectsOf(node.content)) ids.add(id);
    }
  }
  return [...ids].sort();
}

function objectsOf(content: Content): ObjectId[] {
  if (content.kind === 'object') return [content.id];
  if (content.kind !== 'external') return [];
  const path = /^([0-9a-f]{2})\/([0-9a-f]{62}|[0-9a-f]{126})$/.exec(content.payload ?? '');
  return [...(content.digest === undefined ? [] : [content.digest]), ...(path ? [path[1]! + path[2]!] : [])];
}
