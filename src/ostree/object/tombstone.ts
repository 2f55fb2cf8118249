import { NotFoundError } from '../../errors.js';
import type { Checksum } from './checksum.js';

/** The extension of what ostree may leave in the place of a commit that was deleted. */
export const TOMBSTONE = 'commit-tombstone';

export function deletedCommit(id: Checksum): NotFoundError {
  return new NotFoundError(`commit ${id} was deleted: the ostree repository has a tombstone in its place`);
}
