// Which layer streams are known to be what their name says. The reference trusts the name alone, and stores
// under it what it never hashed; so a stream counts only when this program hashed it while importing, or here.
import type { ByteString } from '../../bytes.js';
import { DigestMismatchError, FormatError } from '../../errors.js';
import { closeChunk, type Chunk } from '../../layer/stream.js';
import { Batch } from '../../repository/batch.js';
import { objectTarget, readLink, writeLink } from '../../repository/links.js';
import { objectPath, type ObjectId } from '../../repository/object-id.js';
import type { FileResult, LayerIngest, TakePolicy } from '../../repository/objects.js';
import type { Repository } from '../../repository/repository.js';
import { layerContentId } from '../image.js';
import { RepositoryLayer } from '../repository-layer.js';

const FOLDER = 'verified';
const BATCH_FILES = 256;
const BATCH_BYTES = 512 << 10;
const BATCHES_IN_FLIGHT = 8;
const HASH_ONLY: TakePolicy = { store: false, reflink: false, hardlink: false, copy: false, sealSource: false, trusted: true };

/** Whether this stream was found to be the layer before. */
export function isVerified(repository: Repository, diffId: string, stream: ObjectId): boolean {
  return readLink(repository.root, `${FOLDER}/${layerContentId(diffId)}`) === objectTarget(stream);
}

/** Remembers that this stream is the layer; to be called only after its tar was hashed. */
export function markVerified(repository: Repository, diffId: string, stream: ObjectId): void {
  writeLink(repository.root, `${FOLDER}/${layerContentId(diffId)}`, objectTarget(stream));
}

/**
 * Puts a stored layer's tar together and hashes it, in the native pool and in constant memory.
 * @param diffId `sha256:…`
 * @throws DigestMismatchError when the tar is another one; NotFoundError when objects are missing; FormatError when the stream is damaged
 */
export async function verifyLayerStream(repository: Repository, diffId: string, stream: ObjectId, signal?: AbortSignal): Promise<void> {
  const ingest = repository.objects.ingest(HASH_ONLY);
  await using layer = new RepositoryLayer(repository, stream, signal);
  const hasher = new TarHasher(ingest);
  try {
    for await (const chunks of layer) await hasher.take(chunks);
    await hasher.finish();
  } catch (error) {
    await hasher.abandon();
    throw error;
  }
  const actual = `sha256:${ingest.digest()}`;
  if (actual !== diffId) throw new DigestMismatchError('the stored layer is not what its diff_id says', diffId, actual, { place: { layer: diffId } });
  if (BigInt(hasher.size) !== layer.declaredSize) throw new FormatError('SPLITSTREAM_SIZE', `the stream declares ${layer.declaredSize} bytes and has ${hasher.size}`, { place: { layer: diffId } });
}

/** Feeds chunks to the pool in batches, a few of them at a time. */
class TarHasher {
  size = 0;
  readonly #ingest: LayerIngest;
  #batch = new Batch();
  /** Which objects the batch's files are; undefined where fs-verity vouched for one when it was opened. */
  #expected: (ByteString | undefined)[] = [];
  readonly #inFlight: Promise<unknown>[] = [];

  constructor(ingest: LayerIngest) {
    this.#ingest = ingest;
  }

  async take(chunks: readonly Chunk[]): Promise<void> {
    for (const [index, chunk] of chunks.entries()) {
      try {
        this.#add(chunk);
      } catch (error) {
        chunks.slice(index + 1).forEach(closeChunk);
        throw error;
      }
    }
    if (this.#batch.files >= BATCH_FILES || this.#batch.length >= BATCH_BYTES) this.#submit();
    while (this.#inFlight.length >= BATCHES_IN_FLIGHT) await this.#inFlight.shift();
  }

  async finish(): Promise<void> {
    this.#submit();
    await Promise.all(this.#inFlight);
  }

  async abandon(): Promise<void> {
    this.#batch.discard();
    this.#ingest.abort();
    await Promise.allSettled(this.#inFlight);
  }

  #add(chunk: Chunk): void {
    if (chunk.kind === 'bytes') {
      this.size += chunk.bytes.length;
      this.#batch.bytes(chunk.bytes);
      return;
    }
    this.size += chunk.size;
    this.#expected.push(chunk.kind === 'named' ? chunk.name : undefined);
    if (chunk.kind === 'fd') this.#batch.open(chunk.fd, chunk.size);
    else this.#batch.named(chunk.dir, chunk.name, chunk.size);
  }

  #submit(): void {
    if (this.#batch.length === 0) return;
    const result = this.#check(this.#ingest.submit(this.#batch), this.#expected);
    // A failure is seen when its turn comes; until then it must not count as unhandled.
    result.catch(() => {});
    this.#inFlight.push(result);
    this.#batch = new Batch();
    this.#expected = [];
  }

  async #check(results: Promise<FileResult[]>, expected: readonly (ByteString | undefined)[]): Promise<void> {
    for (const [index, result] of (await results).entries()) {
      const path = expected[index];
      if (path === undefined) continue;
      if (result.outcome === 'small') throw new FormatError('OBJECT_SMALL', `object ${path} holds ${result.content.length} bytes, which belong into the stream`);
      if (objectPath(result.id) !== path) throw new DigestMismatchError('object', path.replace('/', ''), result.id);
    }
  }
}
