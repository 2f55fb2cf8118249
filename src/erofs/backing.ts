import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { DIGEST_SIZE, objectPath, type Algorithm, type ObjectId } from '../repository/object-id.js';
import type { Content } from '../tree/tree.js';
import type { Peer } from './options.js';

/** What an image says about a file whose data is outside of it. */
export interface Backing {
  size: bigint;
  /** Digest overlayfs checks the data against; null: any data will do. */
  digest: ObjectId | null;
  /** The object whose path leads to the data. Without any path the file is one hole. */
  objectPath: ObjectId | null;
  /** A path that is not an object's, relative to the store. */
  otherPath: ByteString | null;
}

/**
 * Decides what an image stores about a regular file's outside content, or null for empty and inline files.
 * The C library keeps what a dumpfile says; composefs-rs knows object ids only and derives the rest.
 * @throws FormatError EROFS_OBJECT_ID
 */
export function backingOf(content: Content, peer: Peer, algorithm: Algorithm): Backing | null {
  switch (content.kind) {
    case 'empty':
    case 'inline':
      return null;
    case 'object':
      return objectBacking(content.size, content.id, algorithm);
    case 'external': {
      const { size, payload, digest } = content;
      if (digest !== null) checkId(digest, algorithm);
      if (peer === 'composefs') return { size, digest, ...pathTo(payload, algorithm) };
      if (digest !== null) return objectBacking(size, digest, algorithm);
      if (payload === null) return size === 0n ? null : { size, digest, objectPath: null, otherPath: null };
      return { size, digest, objectPath: idAtEnd(payload, algorithm), otherPath: null };
    }
  }
}

/** Hex digits are checked where they are written. */
function objectBacking(size: bigint, id: ObjectId, algorithm: Algorithm): Backing {
  checkId(id, algorithm);
  return { size, digest: id, objectPath: id, otherPath: null };
}

function checkId(id: ObjectId, algorithm: Algorithm): void {
  if (id.length !== 2 * DIGEST_SIZE[algorithm]) throw new FormatError('EROFS_OBJECT_ID', `"${id}" is no ${algorithm} object id`);
}

function pathTo(payload: ByteString | null, algorithm: Algorithm): Pick<Backing, 'objectPath' | 'otherPath'> {
  if (payload === null || payload === '') return { objectPath: null, otherPath: null };
  const id = payload.slice(0, 2) + payload.slice(3);
  const isObject = id.length === 2 * DIGEST_SIZE[algorithm] && /^[0-9a-f]*$/.test(id) && payload === objectPath(id);
  return isObject ? { objectPath: id, otherPath: null } : { objectPath: null, otherPath: payload };
}

function idAtEnd(payload: ByteString, algorithm: Algorithm): ObjectId {
  const path = payload.slice(-(2 * DIGEST_SIZE[algorithm] + 1));
  const id = path.slice(0, 2) + path.slice(3);
  if (!/^[0-9a-f]{2}\/[0-9a-f]+$/.test(path) || id.length !== 2 * DIGEST_SIZE[algorithm]) {
    throw new FormatError('EROFS_OBJECT_ID', `"${showBytes(payload)}" does not end in the path of a ${algorithm} object`);
  }
  return id;
}
