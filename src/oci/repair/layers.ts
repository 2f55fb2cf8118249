import type { SystemErrorCode } from '../../error-codes.js';
import { BridgeError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { storeBlob } from '../pull/import-blob.js';
import { layerContentId } from '../../repository/names.js';
import { importLayer } from '../pull/import-layer.js';
import { takePolicy } from '../../repository/local-fetch.js';
import { isVerified, markVerified, verifyLayerStream } from '../pull/verified.js';
import type { ImageSource } from '../source/source.js';
import type { Health } from './health.js';
import type { LayerLoss } from './loss.js';
import type { RepairSource } from './sources.js';

/** What became of a layer, or of an artifact's blob. */
export interface LayerState {
  /** undefined when it is lost as a whole */
  stream: ObjectId | undefined;
  /** what is still wrong with it */
  loss: LayerLoss | undefined;
}

export interface SourceProblem {
  readonly source: string;
  readonly message: string;
}

/** Makes layers and blobs whole: each once, however many images have it. */
export class LayerRepair {
  readonly problems: SourceProblem[] = [];
  readonly #repository: Repository;
  readonly #health: Health;
  readonly #sources: readonly RepairSource[];
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, LayerState>();

  constructor(repository: Repository, health: Health, sources: readonly RepairSource[], signal: AbortSignal) {
    this.#repository = repository;
    this.#health = health;
    this.#sources = sources;
    this.#signal = signal;
  }

  /**
   * Makes sure that a layer or blob is complete and is what its digest says, from a source where it is not. Its name
   * leads to it then.
   * @param digest diff_id, or digest of a blob
   * @param candidates streams it may be, best first
   */
  async repair(digest: string, candidates: readonly (ObjectId | undefined)[]): Promise<LayerState> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const state = await this.#repair(
      digest,
      [...new Set([...candidates, this.#named(digest)])].filter((id) => id !== undefined),
    );
    this.#known.set(digest, state);
    return state;
  }

  async #repair(digest: string, candidates: readonly ObjectId[]): Promise<LayerState> {
    const readable = candidates.filter((id) => this.#wrongIn(id) !== undefined);
    let problem = readable.length === 0 ? 'its stream is lost' : '';
    for (const stream of readable) {
      const wrong = this.#wrongIn(stream) ?? [];
      problem =
        wrong.length > 0
          ? `${wrong.length} of its objects ${wrong.length === 1 ? 'is' : 'are'} missing`
          : await this.#verify(digest, stream);
      if (problem === '') return this.#use(digest, stream);
    }
    for (const source of this.#sources) {
      for (const image of source.images) {
        const imported = await this.#import(digest, source.name, image);
        if (imported === undefined) continue;
        // A stream that others refer to stays in use where it can.
        const stream =
          readable.find((id) => this.#wrongIn(id)?.length === 0 && isVerified(this.#repository, digest, id)) ??
          imported;
        return this.#use(digest, stream);
      }
    }
    return { stream: readable[0], loss: { part: 'layer', digest, reason: problem } };
  }

  async #use(digest: string, stream: ObjectId): Promise<LayerState> {
    await this.#repository.linkStream(layerContentId(digest), stream);
    return { stream, loss: undefined };
  }

  /** @returns what is wrong, nothing when the content has the digest */
  async #verify(digest: string, stream: ObjectId): Promise<string> {
    if (
      !digest.startsWith('sha256:') ||
      isVerified(this.#repository, digest, stream) ||
      this.#typeOf(stream) !== CONTENT_TYPES.layer
    )
      return '';
    try {
      await verifyLayerStream(this.#repository, digest, stream, { signal: this.#signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof BridgeError)) throw error;
      return error.message;
    }
    markVerified(this.#repository, digest, stream);
    return '';
  }

  async #import(digest: string, source: string, image: ImageSource): Promise<ObjectId | undefined> {
    try {
      const stream = (await this.#importLayer(digest, image)) ?? (await this.#importBlob(digest, image));
      if (stream === undefined) return undefined;
      this.#setRight(stream, `layer ${digest} of ${source}`);
      return stream;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (isFatal(error)) throw error;
      this.problems.push({ source, message: (error as Error).message });
      return undefined;
    }
  }

  async #importLayer(digest: string, { layers, trusted }: ImageSource): Promise<ObjectId | undefined> {
    const layer = layers.find(({ diffId }) => diffId === digest);
    if (layer === undefined) return undefined;
    // Sharing an inode with the source may be how the damage came about.
    const policy = takePolicy('reflink', {
      trusted,
      verityRequired: this.#repository.verityRequired,
      sealSource: false,
    });
    const { stream } = await importLayer(this.#repository, layer, { policy, signal: this.#signal });
    markVerified(this.#repository, digest, stream);
    return stream;
  }

  async #importBlob(digest: string, { blobs = [] }: ImageSource): Promise<ObjectId | undefined> {
    const blob = blobs.find((offered) => offered.digest === digest);
    if (blob === undefined) return undefined;
    return (await storeBlob(this.#repository, blob, this.#signal)).stream;
  }

  #setRight(stream: ObjectId, from: string): void {
    this.#health.setRight(stream, from);
    using reader = this.#repository.openStream(stream);
    for (const id of this.#health.wrongOf(reader.objects.bytes, this.#repository.algorithm))
      this.#health.setRight(id, from);
  }

  /** Objects of a stream that are not right; undefined when the stream itself is not. */
  #wrongIn(stream: ObjectId): ObjectId[] | undefined {
    if (!this.#health.isRight(stream)) return undefined;
    try {
      using reader = this.#repository.openStream(stream);
      if (reader.contentType !== CONTENT_TYPES.layer && reader.contentType !== CONTENT_TYPES.blob) return undefined;
      return this.#health.wrongOf(reader.objects.bytes, this.#repository.algorithm);
    } catch (error) {
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }

  #typeOf(stream: ObjectId): bigint {
    using reader = this.#repository.openStream(stream);
    return reader.contentType;
  }

  #named(digest: string): ObjectId | undefined {
    return this.#repository.streamObject(layerContentId(digest));
  }
}

const OF_THE_MACHINE: ReadonlySet<unknown> = new Set<SystemErrorCode>([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'ENOMEM',
  'EMFILE',
  'ENFILE',
]);

/** Whether an error has nothing to do with what is repaired or with what from, so that going on makes no sense. */
export function isFatal(error: unknown): boolean {
  return !(error instanceof Error) || !('code' in error) || OF_THE_MACHINE.has(error.code);
}
