import { BLOCK_SIZE, TYPE_OFFSET } from '../layer/tar-header.js';

/**
 * Types of entries that have no content, whatever size their header names, are `1` to `6`: links, devices, folders,
 * fifos.
 */
const [FIRST_EMPTY, LAST_EMPTY] = [0x31, 0x36];
const FILE = 0x30;
const SPARSE = 0x53;
const SPARSE_RECORD = Buffer.from(' GNU.sparse.', 'latin1');
/** The header of records, and a block of them. */
const RECORDS_MIN = 2 * BLOCK_SIZE;

/** What the header at the end of a segment of tar-split says about the file that follows. */
export class SegmentHeader {
  #type = 0;
  #hasSparseRecords = false;

  /**
   * Most segments are the padding of one file and the header of the next, of which nothing else has to be known.
   * @param offset where the segment begins in the tar
   * @returns false, and nothing is read, when the segment is another one
   */
  readPlain(bytes: Buffer, from: number, to: number, offset: number): boolean {
    const size = to - from;
    if (
      size < BLOCK_SIZE ||
      size >= 2 * BLOCK_SIZE ||
      (offset + size) % BLOCK_SIZE !== 0 ||
      bytes[to - BLOCK_SIZE + TYPE_OFFSET] !== FILE
    )
      return false;
    this.#type = FILE;
    this.#hasSparseRecords = false;
    return true;
  }

  /** @param from where the segment begins in `bytes`, which it ends */
  read(bytes: Buffer, from: number, to: number): void {
    const header = to - BLOCK_SIZE;
    this.#type = header < from ? 0 : bytes[header + TYPE_OFFSET]!;
    // Before most headers there is nothing but the padding of the file before.
    this.#hasSparseRecords = header - from >= RECORDS_MIN && bytes.subarray(from, header).includes(SPARSE_RECORD);
  }

  /**
   * Whether the size that tar-split names counts for nothing: it is only what the header said, and nothing was read.
   */
  get hasNoContent(): boolean {
    return this.#type >= FIRST_EMPTY && this.#type <= LAST_EMPTY;
  }

  /** Whether the file has fewer bytes in the tar than tar-split says: those of its holes are missing. */
  get isSparse(): boolean {
    return this.#type === SPARSE || this.#hasSparseRecords;
  }
}
