import type { ByteString } from '../../bytes.js';
import { NAME_LIMIT } from '../../limits.js';
import { BLOCK, DIRENT } from '../format/format.js';
import { imageError } from './image-error.js';
import type { Body } from './inode.js';

/** One entry of a directory; `type` is the file type its inode has to have. */
export interface Dirent {
  name: ByteString;
  nid: number;
  type: number;
  /** Where it is in the image. */
  at: number;
}

/**
 * Reads all entries of a directory, `.` and `..` included.
 * @throws FormatError EROFS: among others, names that are not in ascending order, which the kernel relies on
 */
export function* readDirents(image: Buffer, body: Body): Generator<Dirent> {
  let last = '';
  for (const [start, length] of blocksOf(body)) {
    for (const dirent of readBlock(image, start, length)) {
      if (dirent.name <= last) throw imageError('directory entries are not in order', dirent.at);
      last = dirent.name;
      yield dirent;
    }
  }
}

function* blocksOf({ blocksAt, blocksLength, tailAt, tailLength }: Body): Generator<[start: number, length: number]> {
  for (let at = 0; at < blocksLength; at += BLOCK) yield [blocksAt + at, Math.min(BLOCK, blocksLength - at)];
  if (tailLength > 0) yield [tailAt, tailLength];
}

function* readBlock(image: Buffer, start: number, length: number): Generator<Dirent> {
  const nameOffset = (at: number): number => image.readUInt16LE(at + DIRENT.nameOffset);
  if (length < DIRENT.end) throw imageError(`directory block of ${length} bytes`, start);
  const namesAt = nameOffset(start);
  if (namesAt === 0 || namesAt % DIRENT.end !== 0 || namesAt > length)
    throw imageError(`first name at ${namesAt} in its block`, start);
  for (let at = start; at < start + namesAt; at += DIRENT.end) {
    const isLast = at + DIRENT.end === start + namesAt;
    const from = nameOffset(at);
    const to = isLast ? endOfNames(image, start, from, length) : nameOffset(at + DIRENT.end);
    if (from < namesAt || to <= from || to > length) throw imageError(`name from ${from} to ${to} in its block`, at);
    const name = image.toString('latin1', start + from, start + to);
    if (name.length > NAME_LIMIT || name.includes('/') || name.includes('\0')) throw imageError('bad name', at);
    const nid = nidAt(image, at);
    yield { name, nid, type: image.readUInt8(at + DIRENT.type), at };
  }
}

/** The number of the inode that an entry leads to; as far as an image goes, a number holds it exactly. */
export function nidAt(image: Buffer, dirent: number): number {
  return image.readUInt32LE(dirent + DIRENT.nid) + image.readUInt32LE(dirent + DIRENT.nid + 4) * 2 ** 32;
}

/** The last name of a block ends where zeros begin. */
function endOfNames(image: Buffer, start: number, from: number, length: number): number {
  const zero = from < length ? image.subarray(start + from, start + length).indexOf(0) : -1;
  return zero < 0 ? length : from + zero;
}
