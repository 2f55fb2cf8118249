// The one chunk of a commit stream: all objects of a commit, by id. Everything is little-endian, n is the last bucket.
//
//   0          index of the commit object among the ids, u32
//   4          flags, 0
//   8          256 buckets, u32 each: how many ids have a first byte up to that one
//   1032       n ids of 32 bytes, ascending
//   + 32 n     n entries of 12 bytes: offset in the data divided by 8, length, index into the stream's object
//              references or 0xffffffff
//   + 12 n     data: each item begins at a multiple of 8 from the start of the data, zeros between
//
// The data of a commit, dirtree or dirmeta are its bytes; those of a file its sized header and, for a small one, the
// content. The content of other files is an object of the repository.

import type { Digests } from '../../fsverity/digests.js';
import { ID_SIZE } from '../object/checksum.js';

export const CHUNK = {
  commit: 0,
  flags: 4,
  buckets: 8,
  ids: 1032,
} as const;

export const BUCKETS = 256;

/** Where the id of object `index` begins. */
export function idOffset(index: number): number {
  return CHUNK.ids + ID_SIZE * index;
}

/** An entry behind the ids. */
export const ENTRY = { offset: 0, length: 4, object: 8, size: 12 } as const;

/** Offsets are divided by this. */
export const DATA_ALIGNMENT = 8;
/** In place of an index: the content is in the data, or the object has none. */
export const NO_OBJECT = 0xffffffff;

/** What a commit stream is written from. */
export interface CommitChunk {
  /** tables, and the data of all objects */
  readonly bytes: Buffer;
  /** the stream's object references, in this order */
  readonly objects: Digests;
}
