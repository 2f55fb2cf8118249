import type { ByteString } from '../../bytes.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import { NO_XATTRS, type Content, type Xattrs } from '../../tree/tree.js';
import { imageError } from './image-error.js';
import type { Writer } from '../format/options.js';
import {
  ESCAPED,
  METACOPY,
  OVERLAY,
  REDIRECT,
  WHITEOUT_MARKS,
  WHITEOUT_OPAQUE_MARKS,
  WHITEOUT_PARENT_MARKS,
} from '../format/overlay-names.js';
import type { RawInode } from './inode.js';
import { METACOPY_HEADER, METACOPY_VALUE } from '../format/object-xattrs.js';

/**
 * The content of a file whose data is outside, from the xattrs that lead overlayfs to it.
 * @param xattrs as the image has them
 * @throws FormatError EROFS
 */
export function outsideContent(inode: RawInode, xattrs: Xattrs): Content {
  const metacopy = xattrs.get(METACOPY);
  const redirect = xattrs.get(REDIRECT);
  if (metacopy === undefined) throw imageError('file without data and without metacopy mark', inode.at);
  if (redirect !== undefined && (!redirect.startsWith('/') || redirect.includes('\0')))
    throw imageError('bad redirect path', inode.at);
  const digest = metacopy === '' ? undefined : digestOf(metacopy, inode);
  const payload = redirect?.slice(1);
  if (digest !== undefined && payload === objectPath(digest)) return { kind: 'object', id: digest, size: inode.size };
  return { kind: 'external', size: inode.size, payload, digest };
}

function digestOf(metacopy: ByteString, inode: RawInode): ObjectId {
  const id = Buffer.from(metacopy, 'latin1').toString('hex', METACOPY_VALUE.digest);
  const header: ByteString | undefined = id.length === 64 || id.length === 128 ? METACOPY_HEADER[id.length] : undefined;
  if (header === undefined || !metacopy.startsWith(header)) throw imageError('bad metacopy mark', inode.at);
  return id;
}

/** Whether a file stands for a whiteout of the input. */
export function isEscapedWhiteout(inode: RawInode, xattrs: Xattrs): boolean {
  return inode.kind === 'regular' && inode.size === 0n && xattrs.has(WHITEOUT_MARKS[0]);
}

/**
 * The xattrs an inode had before it was written: overlayfs's own ones dropped, escaped ones restored.
 * @param marks marks of whiteouts that are on the inode, to be dropped as well
 */
export function originalXattrs(xattrs: Xattrs, marks: readonly ByteString[]): Xattrs {
  let original: Map<ByteString, ByteString> | undefined;
  for (const [name, value] of xattrs) {
    const escaped = name.startsWith(ESCAPED);
    if (marks.includes(name) || (name.startsWith(OVERLAY) && !escaped)) continue;
    original ??= new Map<ByteString, ByteString>();
    original.set(escaped ? OVERLAY + name.slice(ESCAPED.length) : name, value);
  }
  return original ?? NO_XATTRS;
}

/** Marks on a whiteout. */
export const ON_WHITEOUT: readonly ByteString[] = WHITEOUT_MARKS;

/** Marks on a directory that holds whiteouts. */
export function whiteoutParentMarks(version: number, writer: Writer = 'composefs-rs'): readonly ByteString[] {
  return version === 1 && writer === 'composefs-rs'
    ? [...WHITEOUT_PARENT_MARKS, ...WHITEOUT_OPAQUE_MARKS]
    : WHITEOUT_PARENT_MARKS;
}
