import type { WriteOptions } from '../erofs/format/options.js';
import { writeErofsPieces } from '../erofs/write/writer.js';
import type { Directory } from '../tree/tree.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { ObjectStore } from './objects.js';
import { storePieces } from './store-content.js';

/** Bytes of an image in memory. */
const PIECE = 128 * 1024;

/**
 * Stores the EROFS image of a tree as an object, which has no name in `images/` yet.
 * @throws FormatError like `writeErofs`; BridgeError like `ObjectStore.put`
 */
export async function storeImage(
  objects: ObjectStore,
  root: Directory,
  options: Omit<WriteOptions, 'algorithm'>,
): Promise<ObjectId> {
  const { length, pieces } = writeErofsPieces(root, { ...options, algorithm: objects.algorithm }, PIECE);
  return (await storePieces(objects, length, pieces)).id;
}
