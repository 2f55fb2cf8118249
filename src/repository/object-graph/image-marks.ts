// What an EROFS image may refer to: by the marks that overlayfs follows, wherever they are in the
// file. Unlike the reader this takes constant memory, and a damaged image, or one of a later version, keeps what it
// leads to.
import type { Fd } from '../../fd/fd.js';
import { COMPOSEFS_MAGIC, EROFS_MAGIC, EROFS_MAGIC_AT, HEADER } from '../../erofs/format/format.js';
import { METACOPY_VALUE } from '../../erofs/format/object-xattrs.js';
import { METACOPY, OVERLAY, REDIRECT } from '../../erofs/format/overlay-names.js';
import { xattrName } from '../../erofs/format/xattr-name.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';
import { readBlocks } from '../../fd/read-file.js';

const BLOCK = 1 << 20;
/** Behind the prefix of the name, whichever that is. */
const MARK = Buffer.from(xattrName(OVERLAY, false).suffix, 'latin1');
/** Behind the mark: with the slash that the value starts with, and the name alone. */
const REDIRECT_TO = Buffer.from(`${REDIRECT.slice(OVERLAY.length)}/`, 'latin1');
const METACOPY_NAME = Buffer.from(METACOPY.slice(OVERLAY.length), 'latin1');
/** Longest thing looked at behind `overlay.`: a redirect with slashes to a SHA-512 object. */
const LONGEST = REDIRECT_TO.length + 1 + 128;

/** How many bytes from the start of a file tell whether it is an image. */
export const IMAGE_HEAD = EROFS_MAGIC_AT + 4;

/**
 * Whether a file that begins with these bytes is an EROFS image.
 * @param head its first `IMAGE_HEAD` bytes, or all of a shorter one
 */
export function isImage(head: Buffer): boolean {
  const number = (at: number): number => (head.length < at + 4 ? 0 : head.readUInt32LE(at));
  return number(HEADER.magic) === COMPOSEFS_MAGIC || number(EROFS_MAGIC_AT) === EROFS_MAGIC;
}

/**
 * Calls `found` with every object an image leads to, most of them more than once. The marks are the xattrs
 * `overlay.redirect` (the path of an object) and `overlay.metacopy` (its digest), under whatever prefix.
 * @param image stays the caller's
 */
export async function scanImage(
  image: Fd,
  algorithm: Algorithm,
  found: (id: ObjectId) => void,
  signal?: AbortSignal,
): Promise<void> {
  const size = DIGEST_SIZE[algorithm];
  const { size: length } = image.stat();
  let rest: Buffer = Buffer.alloc(0);
  for await (const block of readBlocks(image, 0, length, BLOCK, signal)) {
    const bytes = Buffer.concat([rest, block]);
    // A mark that may go on in the next block is looked at again then.
    const complete = bytes.length - MARK.length - LONGEST;
    let at = bytes.indexOf(MARK);
    for (; at >= 0 && at <= complete; at = bytes.indexOf(MARK, at + 1)) scanMark(bytes, at + MARK.length, size, found);
    rest = Buffer.from(bytes.subarray(at >= 0 ? at : Math.max(0, bytes.length - MARK.length + 1)));
  }
  for (let at = rest.indexOf(MARK); at >= 0; at = rest.indexOf(MARK, at + 1))
    scanMark(rest, at + MARK.length, size, found);
}

function scanMark(bytes: Buffer, at: number, size: number, found: (id: ObjectId) => void): void {
  if (startsWith(bytes, at, METACOPY_NAME)) {
    const head = at + METACOPY_NAME.length;
    const start = head + METACOPY_VALUE.digest;
    if (
      bytes[head + METACOPY_VALUE.version] === 0 &&
      bytes[head + METACOPY_VALUE.length] === METACOPY_VALUE.digest + size &&
      start + size <= bytes.length
    )
      found(bytes.toString('hex', start, start + size));
  } else if (startsWith(bytes, at, REDIRECT_TO)) {
    const start = at + REDIRECT_TO.length;
    const path = /^([0-9a-f]{2})\/([0-9a-f]+)$/.exec(bytes.toString('latin1', start, start + 2 * size + 1));
    if (path) found(`${path[1]}${path[2]}`);
  }
}

function startsWith(bytes: Buffer, at: number, word: Buffer): boolean {
  return at + word.length <= bytes.length && bytes.compare(word, 0, word.length, at, at + word.length) === 0;
}
