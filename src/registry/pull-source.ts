import { BridgeError } from '../errors.js';
import type { ResumableBody } from '../http/resumable.js';
import type { BlobFacts } from '../spec/manifest.js';
import type { RegistryReference } from '../spec/reference.js';
import { openBlob, readBlob, type BlobOptions, type RegistryBlob } from './blobs.js';
import { getManifest, type StoredManifest } from './manifests.js';
import type { RegistryRepository } from './repository.js';
import { listTags } from './tags.js';

export interface PullEndpoint {
  repository: RegistryRepository;
  reference: RegistryReference;
}

/** A repository to pull from, in all the places where it may be. */
export class PullSource {
  /** as it was asked for */
  readonly reference: RegistryReference;
  readonly #endpoints: readonly PullEndpoint[];
  /** The place whose manifest was taken, then those after it. */
  #rest: readonly PullEndpoint[];
  readonly #onPassedOver: (text: string) => void;

  /** @param onPassedOver hears which mirrors did not give what they were asked for, and why */
  constructor(reference: RegistryReference, endpoints: readonly PullEndpoint[], onPassedOver: (text: string) => void) {
    this.reference = reference;
    this.#onPassedOver = onPassedOver;
    this.#endpoints = endpoints;
    this.#rest = endpoints;
  }

  /** Where the manifest came from. */
  get repository(): RegistryRepository {
    return (this.#rest[0] as PullEndpoint).repository;
  }

  /**
   * The manifest or index the reference names, from the first place that has it.
   * @throws the error of the last place, which is the registry itself
   */
  async manifest(signal?: AbortSignal): Promise<StoredManifest> {
    return this.#first(
      this.#endpoints,
      ({ repository, reference }) => getManifest(repository, reference.digest ?? reference.tag ?? 'latest', signal),
      signal,
    );
  }

  /** A manifest that another one names. */
  async manifestOf(digest: string, signal?: AbortSignal): Promise<StoredManifest> {
    return this.#first(this.#rest, ({ repository }) => getManifest(repository, digest, signal), signal);
  }

  /** The tags of the repository itself: a mirror may have only some of them. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    const tags: string[] = [];
    for await (const tag of listTags((this.#endpoints.at(-1) as PullEndpoint).repository, signal)) tags.push(tag);
    return tags;
  }

  /** The bytes of a blob, not verified. */
  blob(blob: RegistryBlob, options: Omit<BlobOptions, 'onPassedOver'> = {}): ResumableBody {
    return openBlob(
      this.#rest.map(({ repository }) => repository),
      blob,
      { ...options, onPassedOver: this.#passOver },
    );
  }

  /** All of a small blob, verified. */
  async smallBlob(what: string, blob: RegistryBlob & BlobFacts, limit: number, signal?: AbortSignal): Promise<Buffer> {
    return readBlob(
      this.#rest.map(({ repository }) => repository),
      what,
      blob,
      limit,
      { signal, onPassedOver: this.#passOver },
    );
  }

  readonly #passOver = ({ name }: RegistryRepository, error: unknown): void => {
    this.#onPassedOver(`mirror ${name.host} is passed over: ${error instanceof Error ? error.message : String(error)}`);
  };

  async #first<T>(
    endpoints: readonly PullEndpoint[],
    read: (endpoint: PullEndpoint) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    for (const [index, endpoint] of endpoints.entries()) {
      try {
        const found = await read(endpoint);
        this.#rest = endpoints.slice(index);
        return found;
      } catch (error) {
        signal?.throwIfAborted();
        // A mirror may be behind, broken, or worse: what it says decides nothing.
        if (!(error instanceof BridgeError) || index === endpoints.length - 1) throw error;
        this.#passOver(endpoint.repository, error);
      }
    }
    throw new Error('there is no place to pull from');
  }
}
