// How a commit is kept here: as cfsctl keeps it, or otherwise. What is kept otherwise has a stream of another name,
// whose named reference to the image says how, and names of its own: to cfsctl it is a stream that it does not know.
import { createHash } from 'node:crypto';
import { printable, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { COMMIT_IMAGE_REF, commitContentId, variantContentId, variantOf } from '../repository/names.js';
import type { Checksum } from './object/checksum.js';

/** What of a commit is kept, and how its image is made. */
export interface CommitForm {
  /** names of xattrs are without the NUL in the image, so that the kernel finds them */
  readonly fixXattrs: boolean;
  /** only these paths; none: all there is */
  readonly subpaths: readonly string[];
}

/** As cfsctl keeps commits. */
export const WHOLE: CommitForm = { fixXattrs: false, subpaths: [] };

const PREFIX = 'ostree.image';
const FIXED = 'fixed-xattrs';
/** In names: every path begins with a slash. */
const NAME_PART = new RegExp(`:(?=/|${FIXED}(?:$|:))`);
const IMAGE_REF = new RegExp(`^${PREFIX.replace('.', '\\.')}(\\.${FIXED})?((?::[^:]+)*)$`);

/** Whether cfsctl keeps it like this. */
export function isWhole({ fixXattrs, subpaths }: CommitForm): boolean {
  return !fixXattrs && subpaths.length === 0;
}

/** How the stream calls its image. */
export function imageRefOf(form: CommitForm): string {
  if (isWhole(form)) return COMMIT_IMAGE_REF;
  const paths = form.subpaths.map((path) => `:${path.replace(/%/g, '%25').replace(/:/g, '%3A')}`);
  return `${PREFIX}${form.fixXattrs ? `.${FIXED}` : ''}${paths.join('')}`;
}

/** The form that a stream with these named references has. */
export function formOf(names: Iterable<string>): CommitForm {
  for (const name of names) {
    const [, fixed, paths] = IMAGE_REF.exec(name) ?? [];
    if (paths === undefined) continue;
    const escaped = paths.split(':').slice(1);
    return {
      fixXattrs: fixed !== undefined,
      subpaths: escaped.map((path) => path.replace(/%3A|%25/g, (escape) => (escape === '%25' ? '%' : ':'))),
    };
  }
  return WHOLE;
}

/** The name of the stream. */
export function contentIdOf(commit: Checksum, form: CommitForm): ByteString {
  if (isWhole(form)) return commitContentId(commit);
  return variantContentId(commit, createHash('sha256').update(imageRefOf(form)).digest('hex').slice(0, 32));
}

/**
 * The form of a commit whose stream is lost, going by what the commit is called.
 * @param contentId the name of the stream
 * @param names as `nameOf` gives them
 * @returns undefined when they do not tell
 */
export function formBehind(contentId: ByteString, names: readonly string[]): CommitForm | undefined {
  const commit = variantOf(contentId);
  if (commit === undefined) return WHOLE;
  const fixed = { fixXattrs: true, subpaths: [] };
  return [fixed, ...names.map(formOfName)].find((form) => contentIdOf(commit, form) === contentId);
}

function formOfName(name: string): CommitForm {
  const [, first, ...others] = name.split(NAME_PART);
  const fixXattrs = first === FIXED;
  return { fixXattrs, subpaths: [...(fixXattrs || first === undefined ? [] : [first]), ...others] };
}

/** What a commit is called that is pulled by this ref. ostree has no colons in refs. */
export function nameOf(ref: string, { fixXattrs, subpaths }: CommitForm): string {
  return [ref, ...(fixXattrs ? [FIXED] : []), ...subpaths].join(':');
}

/** A form as somebody says it, in the one way in which it is kept. @throws BridgeError `INVALID_NAME` */
export function canonicalForm({ fixXattrs, subpaths }: CommitForm = WHOLE): CommitForm {
  return { fixXattrs, subpaths: subpathsOf(subpaths) };
}

/**
 * Paths in a commit in the form in which they are kept: from the root, sorted, none twice or below another.
 * @throws BridgeError `INVALID_NAME` for the root, and for `.` and `..`
 */
export function subpathsOf(paths: readonly string[]): string[] {
  const clean = paths.map((path) => {
    const parts = path.split('/').filter((part) => part !== '');
    if (parts.length === 0 || path.includes('\0') || parts.some((part) => part === '.' || part === '..'))
      throw new BridgeError('INVALID_NAME', `"${printable(path)}" is no path of a part of a commit`);
    return `/${parts.join('/')}`;
  });
  return [...new Set(clean)].sort().filter((path) => !clean.some((other) => path.startsWith(`${other}/`)));
}
