// A part of a delta: a byte that says how it is compressed, and (a(uuu)aa(ayay)ayay): owners with modes, sets of
// xattrs, the payload, and the operations that make objects of it. The payload is as large as the files in it, so a
// part lies in files without a name while it is used, and only its tables are read into memory.
import { createHash } from 'node:crypto';
import { decompressXz } from '../../compress/xz.js';
import { DigestMismatchError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { readAt, readBlocks } from '../../fd/read-file.js';
import { OSTREE_DELTA_TABLE_LIMIT } from '../../limits.js';
import type { Xattrs } from '../../tree/tree.js';
import { offsetWidth } from '../gvariant/frame.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { parseXattrs } from '../object/xattrs.js';
import { FileRange } from './byte-range.js';
import { namelessFile } from './nameless-file.js';
import type { DeltaPart } from './superblock.js';

const MODES = parseType('a(uuu)');
const XATTRS = parseType('aa(ayay)');
const BLOCK = 256 << 10;
const WHAT = 'a part of the delta';

export interface OwnerAndMode {
  readonly uid: number;
  readonly gid: number;
  /** with the type */
  readonly mode: number;
}

/**
 * Brings a part to this machine, as it is stored.
 * @param folder where a file without a name is made
 * @returns the file
 * @throws DigestMismatchError, FormatError `OSTREE_DELTA` for another part than the superblock says; what `pieces`
 *   throws
 */
export async function fetchPart(folder: Fd, part: DeltaPart, pieces: AsyncIterable<Buffer>): Promise<Fd> {
  const hash = createHash('sha256');
  return await namelessFile(
    folder,
    pieces,
    WHAT,
    part.size,
    (piece) => hash.update(piece),
    (length) => {
      if (length !== part.size) throw damaged(`has ${length} bytes, the superblock says ${part.size}`);
      const actual = hash.digest('hex');
      if (actual !== part.checksum) throw new DigestMismatchError(WHAT, part.checksum, actual);
    },
  );
}

/**
 * Opens a part that was fetched.
 * @param stored the file; closed here
 * @throws FormatError `OSTREE_DELTA`, `COMPRESSION`, `OSTREE_GVARIANT`
 */
export async function openPart(folder: Fd, part: DeltaPart, stored: Fd, signal?: AbortSignal): Promise<OpenPart> {
  using file = stored;
  const [compression] = readAt(file, 0, Math.min(1, part.size));
  if (compression === 0) return new OpenPart(file.move(), 1, part.size);
  if (compression !== 0x78)
    throw damaged(
      `is compressed in a way that is not known: ${compression === undefined ? 'it is empty' : compression}`,
    );
  // Its objects, of which sources that are patched are part; tables and operations; what patches need beside.
  const limit = 2 * part.contentSize + OSTREE_DELTA_TABLE_LIMIT;
  let length = 0;
  const content = await namelessFile(
    folder,
    decompressXz(readBlocks(file, 1, part.size, BLOCK, signal)),
    WHAT,
    limit,
    () => undefined,
    (total) => void (length = total),
  );
  return new OpenPart(content, 0, length);
}

/** A part that was verified. Disposing frees its bytes. */
export class OpenPart implements Disposable {
  readonly operations: Buffer;
  readonly payload: FileRange;
  readonly #file: Fd;
  readonly #modes: Variant;
  readonly #xattrs: Variant;

  /** @param file with the value from `start` to `end`; owned by this object from here on, also when it throws */
  constructor(file: Fd, start: number, end: number) {
    this.#file = file;
    try {
      const [modes, xattrs, payload, limit] = memberEnds(file, start, end);
      this.#modes = Variant.from(MODES, table(file, start, start + modes));
      this.#xattrs = Variant.from(XATTRS, table(file, start + modes, start + xattrs));
      this.payload = new FileRange(file, start + xattrs, payload - xattrs);
      this.operations = table(file, start + payload, start + limit);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** @throws FormatError `OSTREE_DELTA` when there is no such one */
  owner(index: number): OwnerAndMode {
    if (index >= this.#modes.length) throw damaged(`has no mode ${index}`);
    const entry = this.#modes.at(index);
    const [uid, gid, mode] = [0, 1, 2].map((i) => entry.at(i).bytes.readUInt32BE()) as [number, number, number];
    return { uid, gid, mode };
  }

  /** @throws FormatError `OSTREE_DELTA` when there is no such set, `OSTREE_OBJECT` */
  xattrs(index: number): Xattrs {
    if (index >= this.#xattrs.length) throw damaged(`has no set of xattrs ${index}`);
    return parseXattrs(this.#xattrs.at(index));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Where modes, xattrs, payload and operations end, from the start of the value. */
function memberEnds(file: Fd, start: number, end: number): [number, number, number, number] {
  const length = end - start;
  const width = offsetWidth(length);
  const limit = length - 3 * width;
  if (width === 0 || limit < 0) throw damaged('is shorter than its offsets');
  const offsets = readAt(file, start + limit, 3 * width);
  const read = (index: number): number => {
    const at = (2 - index) * width;
    return width === 8 ? Number(offsets.readBigUInt64LE(at)) : offsets.readUIntLE(at, width);
  };
  const ends = [read(0), read(1), read(2), limit] as [number, number, number, number];
  ends.forEach((each, i) => {
    if (each > limit || each < (ends[i - 1] ?? 0)) throw damaged(`has a member that ends at ${each} of ${limit}`);
  });
  return ends;
}

function table(file: Fd, start: number, end: number): Buffer {
  if (end - start > OSTREE_DELTA_TABLE_LIMIT)
    throw damaged(`has a table of ${end - start} bytes, at most ${OSTREE_DELTA_TABLE_LIMIT} are read`);
  return readAt(file, start, end - start);
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_DELTA', `${WHAT} ${what}`);
}
