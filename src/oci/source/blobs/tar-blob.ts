import { FormatError } from '../../../errors.js';
import type { ByteSource } from '../../../fd/byte-source.js';
import { layerFrom } from '../../../layer/layer-pipe.js';
import type { LayerStream, PackedBlob } from '../../../layer/stream.js';
import { decompressAny } from '../../../compress/decompress.js';
import { verifiedSource } from './verified-blob.js';

/**
 * A layer from the blob with its tar, compressed or not. The stream fails at its end when the blob is another one than
 * the digest says, and as soon as it is not a valid compressed file.
 * @param source of the blob's bytes; moves into the stream
 */
export function tarBlob(source: ByteSource, digest: string): LayerStream {
  const blob = verifiedSource(source, digest);
  const tar = decompressAny(
    blob,
    (error) => new FormatError(error.code, `blob ${digest}: ${error.message}`, { cause: error }),
  );
  const stream = layerFrom(tar, {
    push: (bytes: Buffer, out) => out.push({ kind: 'bytes', bytes }),
    end: () => undefined,
  });
  return {
    [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
    get blob(): PackedBlob | undefined {
      const { facts } = blob;
      const { compression } = tar;
      return facts === undefined || compression === undefined ? undefined : { ...facts, compression };
    },
  };
}
