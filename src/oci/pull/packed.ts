// Which blob a layer was unpacked from. A manifest only claims it: here it was seen, since the blob and the tar that
// came out of it were hashed in one pass. Programs that find layers by their blobs, as podman does, are told no claims.
import { objectTarget } from '../../repository/links.js';
import { packedMark, pathOfName, VERIFIED } from '../../repository/names.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { writeOurLink } from '../../repository/ours.js';
import type { Repository } from '../../repository/repository.js';
import type { PackedBlob } from '../../layer/stream.js';
import type { BlobFacts } from '../../spec/manifest.js';
import { isMarked } from './verified.js';

const COMPRESSIONS = ['gzip', 'zstd'] as const;

/**
 * Remembers that a layer came out of this blob, for as long as the layer's stream is there.
 * @param stream the layer's, on the disk already
 */
export function markPacked(repository: Repository, blob: PackedBlob, stream: ObjectId): void {
  // A plain tar is the layer, whose digest everybody knows.
  if (blob.compression === 'none') return;
  writeOurLink(repository, pathOfName(VERIFIED, packedMark(blob)), objectTarget(stream));
}

/**
 * The blob that a manifest lists for a layer, where it was seen that the layer comes out of it.
 * @param stream the layer's
 * @returns undefined where nobody has seen it, or the manifest says another size
 */
export function packedBlob(
  repository: Repository,
  { digest, size }: BlobFacts,
  stream: ObjectId,
): PackedBlob | undefined {
  return COMPRESSIONS.map((compression) => ({ digest, size, compression })).find((blob) =>
    isMarked(repository, packedMark(blob), stream),
  );
}
