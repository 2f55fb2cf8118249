import type { ByteString } from '../../bytes.js';
import { DigestMismatchError, FormatError } from '../../errors.js';
import { objectPath } from '../../fsverity/object-id.js';
import { closeChunk, type Chunk } from '../../layer/stream.js';
import { IngestPipeline } from '../../repository/ingest-pipeline.js';
import type { FileResult, ObjectStore } from '../../repository/objects.js';

/** Which objects a batch's files are; undefined where fs-verity vouched for one when it was opened. */
type Expected = readonly (ByteString | undefined)[];

/** Hashes the tar of a stored layer in the native pool, and checks each object that it has by its name. */
export class TarHasher {
  size = 0;
  readonly #pipeline: IngestPipeline<Expected>;
  #expected: (ByteString | undefined)[] = [];

  constructor(objects: ObjectStore) {
    this.#pipeline = new IngestPipeline(objects.ingest('hash'), { take: checkObjects });
  }

  /** Takes chunks and the ownership of the descriptors in them, also when it throws. */
  async take(chunks: readonly Chunk[]): Promise<void> {
    for (const [index, chunk] of chunks.entries()) {
      try {
        this.#add(chunk);
      } catch (error) {
        chunks.slice(index + 1).forEach(closeChunk);
        throw error;
      }
    }
    if (this.#pipeline.isFull) this.#submit();
    await this.#pipeline.room();
  }

  /** Ends the tar. @throws DigestMismatchError when it is not this layer */
  async check(diffId: string): Promise<void> {
    this.#submit();
    await this.#pipeline.finish();
    const actual = this.#pipeline.digest();
    if (actual !== diffId)
      throw new DigestMismatchError('the stored layer is not what its diff_id says', diffId, actual, {
        place: { layer: diffId },
      });
  }

  /** See `IngestPipeline`. */
  stopOn(signal: AbortSignal | undefined): Disposable {
    return this.#pipeline.stopOn(signal);
  }

  /** See `IngestPipeline`. */
  abandon(): Promise<void> {
    return this.#pipeline.abandon();
  }

  #add(chunk: Chunk): void {
    const { batch } = this.#pipeline;
    if (chunk.kind === 'bytes') {
      this.size += chunk.bytes.length;
      batch.bytes(chunk.bytes);
      return;
    }
    this.size += chunk.size;
    this.#expected.push(chunk.kind === 'named' ? chunk.name : undefined);
    if (chunk.kind === 'fd') batch.open(chunk.fd, chunk.size);
    else batch.named(chunk.dir, chunk.name, chunk.size);
  }

  #submit(): void {
    this.#pipeline.submit(this.#expected);
    this.#expected = [];
  }
}

function checkObjects(results: readonly FileResult[], expected: Expected): void {
  for (const [index, result] of results.entries()) {
    const path = expected[index];
    if (path === undefined) continue;
    if (result.outcome === 'small')
      throw new FormatError(
        'OBJECT_SMALL',
        `object ${path} holds ${result.content.length} bytes, which belong into the stream`,
      );
    if (objectPath(result.id) !== path) throw new DigestMismatchError('object', path.replace('/', ''), result.id);
  }
}
