import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { likelyVersions } from '../../repository/meta.js';
import type { Repository } from '../../repository/repository.js';
import type { Directory } from '../../tree/tree.js';

/**
 * Makes the image of a commit anew, in memory.
 * @param tree of the commit
 * @param expected the image that is wanted, of whatever version of EROFS; where none is it, or nothing is known of it,
 *   the one that a pull makes
 * @throws as `writeErofs`
 */
export function rebuildImage(
  { meta, algorithm }: Repository,
  tree: Directory,
  expected: ObjectId | undefined,
): { id: ObjectId; bytes: Buffer } {
  let first: { id: ObjectId; bytes: Buffer } | undefined;
  for (const version of likelyVersions(meta)) {
    const bytes = writeErofs(tree, { version, algorithm });
    const made = { id: verityDigest(bytes, algorithm).toString('hex'), bytes };
    if (expected === undefined || made.id === expected) return made;
    first ??= made;
  }
  return first!;
}
