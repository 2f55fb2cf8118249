// How a commit is kept here: as cfsctl keeps it, or otherwise. What is kept otherwise has a stream of another name,
// whose named reference to the image says how, and names of its own: to cfsctl it is a stream that it does not know.
import { createHash } from 'node:crypto';
import { COMMIT_IMAGE_REF, commitContentId, variantContentId } from '../repository/names.js';
import type { ByteString } from '../bytes.js';
import type { Checksum } from './object/checksum.js';

/** What of a commit is kept, and how its image is made. */
export interface CommitForm {
  /** names of xattrs are without the NUL in the image, so that the kernel finds them */
  readonly fixXattrs: boolean;
}

/** As cfsctl keeps commits. */
export const WHOLE: CommitForm = { fixXattrs: false };

const PREFIX = 'ostree.image';
const FIXED = 'fixed-xattrs';

/** Whether cfsctl keeps it like this. */
function isWhole({ fixXattrs }: CommitForm): boolean {
  return !fixXattrs;
}

/** How the stream calls its image. */
export function imageRefOf(form: CommitForm): string {
  return isWhole(form) ? COMMIT_IMAGE_REF : `${PREFIX}.${FIXED}`;
}

/** The form that a stream with these named references has. */
export function formOf(names: Iterable<string>): CommitForm {
  for (const name of names) if (name === `${PREFIX}.${FIXED}`) return { fixXattrs: true };
  return WHOLE;
}

/** The name of the stream. */
export function contentIdOf(commit: Checksum, form: CommitForm): ByteString {
  if (isWhole(form)) return commitContentId(commit);
  return variantContentId(commit, createHash('sha256').update(imageRefOf(form)).digest('hex').slice(0, 32));
}

/** What a commit is called that is pulled by this ref. ostree has no colons in refs. */
export function nameOf(ref: string, form: CommitForm): string {
  return isWhole(form) ? ref : `${ref}:${FIXED}`;
}
