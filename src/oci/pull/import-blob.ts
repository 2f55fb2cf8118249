import { createHash } from 'node:crypto';
import { BridgeError, FormatError } from '../../errors.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { WHOLE_CONTENT_LIMIT } from '../../limits.js';
import { mergedStream } from '../../repository/splitstream/merged.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { storePieces } from '../../repository/store-content.js';
import { SplitstreamWriter } from '../../repository/splitstream/writer.js';
import { layerContentId } from '../../repository/names.js';
import type { BlobSource } from '../source/source.js';
import { verifiedSource } from '../source/blobs/verified-blob.js';
import { isVerified, markVerified } from './verified.js';

export interface ObtainedBlob {
  stream: ObjectId;
  /** what became of its object; undefined when the blob's stream was there already */
  outcome: 'copied' | 'present' | undefined;
}

/**
 * Makes sure that an artifact's blob is in the repository, under the name of a layer with its digest, as cfsctl stores
 * it: one object, whatever its size. A stream of that name is only used when it holds what its name says.
 * @throws FormatError `BLOB_SIZE`, DigestMismatchError; nothing is named then
 */
export async function obtainBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<ObtainedBlob> {
  const name = layerContentId(blob.digest);
  const present = repository.streamObject(name);
  if (present !== undefined && (await isUsable(repository, blob.digest, present, signal)))
    return { stream: present, outcome: undefined };
  return storeBlob(repository, blob, signal);
}

/** The same, whatever is there. @throws as `obtainBlob` */
export async function storeBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<ObtainedBlob> {
  const name = layerContentId(blob.digest);
  const source = verifiedSource(await blob.open({ signal }), blob.digest);
  const { id, outcome } =
    blob.size > WHOLE_CONTENT_LIMIT
      ? await storeLarge(repository, source, blob, signal)
      : await storeSmall(repository, source, blob);
  const writer = new SplitstreamWriter(CONTENT_TYPES.blob, repository.algorithm);
  writer.external(id, blob.size);
  const stream = await repository.objects.put(await writer.finish());
  await repository.linkStream(name, stream);
  markVerified(repository, blob.digest, stream);
  blob.landed?.();
  return { stream, outcome };
}

/** Also true for a layer's tar of the same digest: its stream stands for the same bytes. */
async function isUsable(
  repository: Repository,
  digest: string,
  stream: ObjectId,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    using reader = repository.openStream(stream);
    const objects = Array.from({ length: reader.objects.length }, (_, index) => reader.objects.at(index));
    if (isVerified(repository, digest, stream) && objects.every((id) => repository.objects.has(id))) return true;
    const algorithm = digest.slice(0, digest.indexOf(':'));
    const hash = createHash(algorithm);
    for await (const piece of mergedStream(repository.objects, reader, signal)) hash.update(piece);
    if (`${algorithm}:${hash.digest('hex')}` !== digest) return false;
    markVerified(repository, digest, stream);
    return true;
  } catch (error) {
    if (error instanceof BridgeError && !signal.aborted) return false;
    throw error;
  }
}

async function storeSmall(
  repository: Repository,
  source: ByteSource,
  { digest, size }: BlobSource,
): Promise<{ id: ObjectId; outcome: 'copied' }> {
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const piece of sized(source, digest, size)) length += piece.copy(bytes, length);
  return { id: await repository.objects.put(bytes), outcome: 'copied' };
}

async function storeLarge(
  repository: Repository,
  source: ByteSource,
  { digest, size }: BlobSource,
  signal: AbortSignal,
): Promise<{ id: ObjectId; outcome: 'copied' | 'present' }> {
  const { id, outcome } = await storePieces(repository.objects, size, sized(source, digest, size, signal));
  return { id, outcome: outcome === 'present' ? 'present' : 'copied' };
}

/** The bytes of a source that must have this many. The source is disposed at the end. */
async function* sized(
  source: ByteSource,
  digest: string,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  await using owned = source;
  let length = 0;
  for await (const piece of owned) {
    signal?.throwIfAborted();
    length += piece.length;
    if (length > size) break;
    yield piece;
  }
  if (length !== size)
    throw new FormatError(
      'BLOB_SIZE',
      `blob ${digest} has ${length > size ? 'more' : 'less'} than the ${size} bytes its descriptor says`,
    );
}
