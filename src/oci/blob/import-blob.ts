import { createHash } from 'node:crypto';
import { BridgeError, FormatError } from '../../errors.js';
import type { ByteSource } from '../../layer/byte-source.js';
import { Batch } from '../../repository/batch.js';
import { mergedStream } from '../../repository/merged-stream.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { LayerIngest, TakePolicy } from '../../repository/objects.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream-format.js';
import { SplitstreamWriter } from '../../repository/splitstream-writer.js';
import { layerContentId } from '../image.js';
import type { BlobSource } from '../source/source.js';
import { verifiedSource } from './verified-blob.js';
import { isVerified, markVerified } from '../pull/verified.js';

/** Up to this size a blob is stored in one piece. */
const MEMORY_LIMIT = 1 << 20;
const BATCH_BYTES = 512 << 10;
const COPY: TakePolicy = { store: true, reflink: false, hardlink: false, copy: true, sealSource: false, trusted: true };

export interface ObtainedBlob {
  stream: ObjectId;
  /** what became of its object; undefined when the blob's stream was there already */
  outcome: 'copied' | 'present' | undefined;
}

/**
 * Makes sure that an artifact's blob is in the repository, under the name of a layer with its digest, as cfsctl stores it: one
 * object, whatever its size. A stream of that name is only used when it holds what its name says.
 * @throws FormatError `BLOB_SIZE`, DigestMismatchError; nothing is named then
 */
export async function obtainBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<ObtainedBlob> {
  const name = layerContentId(blob.digest);
  const present = repository.streamObject(name);
  if (present !== undefined && (await isUsable(repository, blob.digest, present, signal))) return { stream: present, outcome: undefined };
  return storeBlob(repository, blob, signal);
}

/** The same, whatever is there. @throws as `obtainBlob` */
export async function storeBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<ObtainedBlob> {
  const name = layerContentId(blob.digest);
  const source = verifiedSource(blob.open(), blob.digest);
  const { id, outcome } = blob.size > MEMORY_LIMIT ? await storeLarge(repository, source, blob, signal) : await storeSmall(repository, source, blob);
  const writer = new SplitstreamWriter(CONTENT_TYPES.blob, repository.algorithm);
  writer.external(id, blob.size);
  const stream = await repository.objects.put(await writer.finish());
  await repository.linkStream(name, stream);
  markVerified(repository, blob.digest, stream);
  return { stream, outcome };
}

/** Also true for a layer's tar of the same digest: its stream stands for the same bytes. */
async function isUsable(repository: Repository, digest: string, stream: ObjectId, signal: AbortSignal): Promise<boolean> {
  try {
    using reader = repository.openStream(stream);
    const objects = Array.from({ length: reader.objectCount }, (_, index) => reader.objectId(index));
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

async function storeSmall(repository: Repository, source: ByteSource, { digest, size }: BlobSource): Promise<{ id: ObjectId; outcome: 'copied' }> {
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const piece of sized(source, digest, size)) length += piece.copy(bytes, length);
  return { id: await repository.objects.put(bytes), outcome: 'copied' };
}

async function storeLarge(repository: Repository, source: ByteSource, { digest, size }: BlobSource, signal: AbortSignal): Promise<{ id: ObjectId; outcome: 'copied' | 'present' }> {
  const ingest = repository.objects.ingest(COPY);
  try {
    let batch = new Batch();
    batch.dataBegin(size);
    for await (const piece of sized(source, digest, size)) {
      signal.throwIfAborted();
      batch.data(piece);
      if (batch.length < BATCH_BYTES) continue;
      await ingest.submit(batch);
      batch = new Batch();
    }
    batch.dataEnd();
    return stored(await ingest.submit(batch), digest);
  } catch (error) {
    ingest.abort();
    throw error;
  }
}

function stored([result]: Awaited<ReturnType<LayerIngest['submit']>>, digest: string): { id: ObjectId; outcome: 'copied' | 'present' } {
  if (result === undefined || result.outcome === 'small') throw new Error(`no object was made of blob ${digest}`);
  return { id: result.id, outcome: result.outcome === 'present' ? 'present' : 'copied' };
}

/** The bytes of a source that must have this many. The source is disposed at the end. */
async function* sized(source: ByteSource, digest: string, size: number): AsyncGenerator<Buffer, void, void> {
  await using owned = source;
  let length = 0;
  for await (const piece of owned) {
    length += piece.length;
    if (length > size) break;
    yield piece;
  }
  if (length !== size) throw new FormatError('BLOB_SIZE', `blob ${digest} has ${length > size ? 'more' : 'less'} than the ${size} bytes its descriptor says`);
}
