import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { DIGEST_SIZE, objectPath, type Algorithm, type ObjectId } from '../repository/object-id.js';
import type { Content } from '../tree/tree.js';
import type { Peer } from './options.js';

/** What an image says about a file whose data is outside of it. */
export interface Backing {
  size: bigint;
  /** Digest overlayfs checks the data against; null: any data will do. */
  digest: ObjectId | null;
  /** Path of the data: that of an object, another one, or none at all (the file is one hole). */
  redirect: { id: ObjectId } | { path: ByteString } | null;
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
      return { size: content.size, digest: checked(content.id, algorithm), redirect: { id: content.id } };
    case 'external': {
      const { size, payload } = content;
      const digest = content.digest === null ? null : checked(content.digest, algorithm);
      if (peer === 'composefs') {
        return { size, digest, redirect: payload === null || payload === '' ? null : redirectTo(payload, algorithm) };
      }
      if (digest !== null) return { size, digest, redirect: { id: digest } };
      if (payload === null) return size === 0n ? null : { size, digest, redirect: null };
      return { size, digest, redirect: { id: idAtEnd(payload, algorithm) } };
    }
  }
}

function checked(id: ObjectId, algorithm: Algorithm): ObjectId {
  if (id.length !== 2 * DIGEST_SIZE[algorithm] || !/^[0-9a-f]*$/.test(id)) {
    throw new FormatError('EROFS_OBJECT_ID', `"${id}" is no ${algorithm} object id`);
  }
  return id;
}

function redirectTo(payload: ByteString, algorithm: Algorithm): Backing['redirect'] {
  const id = payload.slice(0, 2) + payload.slice(3);
  const isObject = id.length === 2 * DIGEST_SIZE[algorithm] && /^[0-9a-f]*$/.test(id) && payload === objectPath(id);
  return isObject ? { id } : { path: payload };
}

function idAtEnd(payload: ByteString, algorithm: Algorithm): ObjectId {
  const path = payload.slice(-(2 * DIGEST_SIZE[algorithm] + 1));
  const id = path.slice(0, 2) + path.slice(3);
  if (!/^[0-9a-f]{2}\//.test(path)) throw new FormatError('EROFS_OBJECT_ID', `"${payload}" does not end in an object's path`);
  return checked(id, algorithm);
}
