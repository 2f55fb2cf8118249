import { isWhiteout, type Directory } from '../../tree/tree.js';

/**
 * The format the C library picks for a tree: the lowest allowed, but 1 rather than 0 when the tree has a
 * whiteout, because only format 1 shows whiteouts to every kind of overlay mount. mkcomposefs without options allows 0
 * to 1. (composefs-rs never picks; it writes what it is told to.)
 * @throws RangeError when the range is empty
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { formatVersionFor, parseDump, writeErofs } from 'composefs-bridge';
 *
 * const root = parseDump(readFileSync('tree.dump'));
 * const image = writeErofs(root, { version: formatVersionFor(root, 0, 1), algorithm: 'sha256', writer: 'composefs' });
 * console.log(image.length); // 16384
 * ```
 */
export function formatVersionFor(root: Directory, min: 0 | 1, max: 0 | 1): 0 | 1 {
  if (min > max) throw new RangeError(`no format version from ${min} to ${max}`);
  return min < max && hasWhiteout(root) ? 1 : min;
}

function hasWhiteout(root: Directory): boolean {
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.entries.values()) {
      if (node.kind === 'directory') pending.push(node);
      else if (isWhiteout(node)) return true;
    }
  }
  return false;
}
