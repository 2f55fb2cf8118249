import { FormatError } from '../../errors.js';
import { layerFrom } from '../../layer/layer-pipe.js';
import type { LayerStream } from '../../layer/stream.js';
import { decompress, detectCompression, MAGIC_LENGTH } from './decompress.js';
import type { ImageFile } from './image-files.js';
import { verifiedBlob, type BlobFacts } from './verified-blob.js';

/**
 * A layer from the blob with its tar, compressed or not. The stream fails at its end when the blob is another one than the
 * descriptor says, and as soon as it is no valid compressed file.
 * @param file moves into the stream
 * @throws FormatError `BLOB_SIZE`, `COMPRESSION`
 */
export function tarBlob(file: ImageFile, facts: BlobFacts): LayerStream {
  let compression;
  try {
    compression = detectCompression(file.head(MAGIC_LENGTH));
  } catch (error) {
    file[Symbol.dispose]();
    throw error instanceof FormatError ? new FormatError(error.code, `blob ${facts.digest}: ${error.message}`, { cause: error }) : error;
  }
  const tar = decompress(verifiedBlob(file, facts), compression);
  return layerFrom(tar, { push: (bytes: Buffer, out) => out.push({ kind: 'bytes', bytes }), end: () => undefined });
}
