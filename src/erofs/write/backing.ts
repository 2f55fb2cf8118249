import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { DIGEST_SIZE, objectPath, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';
import type { Content, ObjectContent } from '../../tree/tree.js';
import type { Writer } from '../format/options.js';

/** What an image says about a file whose data is outside of it: nearly always that it is an object. */
export type Backing = ObjectContent | ExternalBacking;

export interface ExternalBacking {
  kind: 'external';
  size: bigint;
  /** Digest overlayfs checks the data against; undefined: any data will do. */
  digest: ObjectId | undefined;
  /** The object whose path leads to the data. Without any path the file is one hole. */
  objectPath: ObjectId | undefined;
  /** A path that is not an object's, relative to the store. */
  otherPath: ByteString | undefined;
}

/**
 * Decides what an image stores about a regular file's outside content, or undefined for empty and inline files.
 * The C library keeps what a dumpfile says; composefs-rs knows object ids only and derives the rest.
 * @throws FormatError EROFS_OBJECT_ID
 */
export function backingOf(content: Content, writer: Writer, algorithm: Algorithm): Backing | undefined {
  switch (content.kind) {
    case 'empty':
    case 'inline':
      return undefined;
    case 'object':
      checkId(content.id, algorithm);
      return content;
    case 'external': {
      const { size, payload, digest } = content;
      if (digest !== undefined) checkId(digest, algorithm);
      if (writer === 'composefs') return { kind: 'external', size, digest, ...pathTo(payload, algorithm) };
      if (digest !== undefined) return { kind: 'object', id: digest, size };
      if (payload === undefined)
        return size === 0n
          ? undefined
          : { kind: 'external', size, digest, objectPath: undefined, otherPath: undefined };
      return { kind: 'external', size, digest, objectPath: idAtEnd(payload, algorithm), otherPath: undefined };
    }
  }
}

/** Hex digits are checked where they are written. */
function checkId(id: ObjectId, algorithm: Algorithm): void {
  if (id.length !== 2 * DIGEST_SIZE[algorithm])
    throw new FormatError('EROFS_OBJECT_ID', `"${id}" is no ${algorithm} object id`);
}

function pathTo(
  payload: ByteString | undefined,
  algorithm: Algorithm,
): Pick<ExternalBacking, 'objectPath' | 'otherPath'> {
  if (payload === undefined || payload === '') return { objectPath: undefined, otherPath: undefined };
  const id = payload.slice(0, 2) + payload.slice(3);
  const isObject = id.length === 2 * DIGEST_SIZE[algorithm] && /^[0-9a-f]*$/.test(id) && payload === objectPath(id);
  return isObject ? { objectPath: id, otherPath: undefined } : { objectPath: undefined, otherPath: payload };
}

function idAtEnd(payload: ByteString, algorithm: Algorithm): ObjectId {
  const path = payload.slice(-(2 * DIGEST_SIZE[algorithm] + 1));
  const id = path.slice(0, 2) + path.slice(3);
  if (!/^[0-9a-f]{2}\/[0-9a-f]+$/.test(path) || id.length !== 2 * DIGEST_SIZE[algorithm]) {
    throw new FormatError(
      'EROFS_OBJECT_ID',
      `"${showBytes(payload)}" does not end in the path of a ${algorithm} object`,
    );
  }
  return id;
}
