// What an object, a name or a ref of a repository refers to: gc, fsck, repair and migration all ask here.
//
// Splitstreams refer to files by digest, and to streams and images by name. EROFS images refer to files, which can be
// found in two ways: `imageReferences` follows the tree and refuses what is no sound image; `scanImage` takes whatever
// looks like a reference, so it finds at least as much, also in a damaged image and in constant memory. What decides
// that something is missing asks the first, what decides that something may go the second.
import type { ByteString } from '../../bytes.js';
import { imageReferences as references } from '../../erofs/read/image-references.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { readAt, readSmallFile } from '../../fd/read-file.js';
import { DIGEST_SIZE, type ObjectId } from '../../fsverity/object-id.js';
import { EROFS_SCAN_LIMIT } from '../../limits.js';
import { parseObjectTarget, readLink } from '../links.js';
import { AREAS, pathOfName } from '../names.js';
import type { Repository } from '../repository.js';
import { HEADER_SIZE, isSplitstream } from '../splitstream/format.js';
import { SplitstreamReader } from '../splitstream/reader.js';
import { IMAGE_HEAD, isImage } from './image-marks.js';

export { scanImage } from './image-marks.js';

/** What an object is that may refer to others, going by its first bytes; undefined for a file. */
export function kindOf(object: Fd): 'stream' | 'image' | undefined {
  const head = readAt(object, 0, Math.min(IMAGE_HEAD, object.stat().size));
  if (isSplitstream(head.subarray(0, HEADER_SIZE))) return 'stream';
  return isImage(head) ? 'image' : undefined;
}

/** What a stream calls other streams and images, in the order in which its writer was told of them. */
export function refsInOrder({ namedRefs, streamRefs }: SplitstreamReader): [name: string, id: ObjectId][] {
  const place = new Map(streamRefs.map((id, index) => [id, index]));
  return [...namedRefs].sort(([, a], [, b]) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
}

/** An image as `imageReferences` takes it. @throws FormatError for one that is too large */
export function readImage(image: Fd): Buffer {
  return readSmallFile(image, EROFS_SCAN_LIMIT);
}

/**
 * The files that a sound image refers to.
 * @param found gets digests, see `erofs/read/image-references`
 * @returns ids of another length than the repository's
 * @throws FormatError for an image that is not sound
 */
export function imageReferences(
  { algorithm }: Pick<Repository, 'algorithm'>,
  image: Buffer,
  found: (digests: Buffer) => void,
): ObjectId[] {
  return references(image, DIGEST_SIZE[algorithm], found);
}

/** What an object refers to that can be read. */
export interface References {
  /** Files: raw digests, one after the other, and the same maybe more than once. */
  readonly files: Buffer;
  /** Streams and images. */
  readonly named: readonly ObjectId[];
}

const NONE: References = { files: Buffer.alloc(0), named: [] };

/** What a stream or a sound image refers to; nothing where an object is neither. */
export function referencesOf(repository: Repository, id: ObjectId): References {
  try {
    using object = repository.objects.open(id);
    if (kindOf(object) === 'image') {
      const files: Buffer[] = [];
      imageReferences(repository, readImage(object), (digests) => files.push(Buffer.from(digests)));
      return { files: Buffer.concat(files), named: [] };
    }
    using stream = SplitstreamReader.open(object.move(), repository.algorithm);
    return { files: stream.objects.bytes, named: stream.streamRefs };
  } catch (error) {
    if (error instanceof BridgeError) return NONE;
    throw error;
  }
}

/** What the names of both areas lead to. */
export function* namedObjects(repository: Repository): Generator<[path: ByteString, id: ObjectId]> {
  for (const area of AREAS) {
    for (const name of repository.listNames(area)) {
      const path = pathOfName(area, name);
      const id = objectBehind(repository, path);
      if (id !== undefined) yield [path, id];
    }
  }
}

/** The object that a name leads to; undefined when there is no such name or it leads elsewhere. */
export function objectBehind(repository: Repository, path: ByteString): ObjectId | undefined {
  return orUndefined(() => {
    const target = readLink(repository.root, path);
    return target === undefined ? undefined : parseObjectTarget(target, repository.algorithm);
  });
}

/** The name that a ref stands for; undefined when there is no such ref or it is no link. */
export function nameBehind(repository: Repository, path: ByteString): ByteString | undefined {
  return orUndefined(() => readLink(repository.root, path)?.split('/').at(-1));
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
