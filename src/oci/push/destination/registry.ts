import { debug } from '../../../debug.js';
import { hasBlob } from '../../../registry/blobs.js';
import { hasManifest, putManifest } from '../../../registry/manifests.js';
import { addToFallback } from '../../../registry/referrers.js';
import { Registries, type RegistryOptions } from '../../../registry/registries.js';
import type { RegistryRepository } from '../../../registry/repository.js';
import { mountBlob, pushBlob } from '../../../registry/upload.js';
import type { PushNotes } from '../../../repository/push-notes.js';
import type { Descriptor } from '../../../spec/manifest.js';
import {
  parseRegistryReference,
  parseRepositoryName,
  showReference,
  type RepositoryName,
} from '../../../spec/reference.js';
import type { OutgoingBlob } from '../outgoing-blob.js';
import type { BlobOutcome } from '../types.js';
import type { BlobWatch, Destination, FinishedImage, Referrer } from './destination.js';

export interface RegistryDestinationOptions {
  registry: RegistryOptions | undefined;
  /** `HOST/PATH` of repositories that may have blobs */
  mountFrom: readonly string[];
  notes: PushNotes | undefined;
}

/**
 * A repository in a registry.
 * @param text as `//HOST/PATH:TAG`
 * @throws FormatError `BAD_REFERENCE`; BridgeError `REGISTRY_BLOCKED`; what reading the configuration throws
 */
export function registryDestination(text: string, options: RegistryDestinationOptions): Destination {
  const asked = parseRegistryReference(text);
  const others = options.mountFrom.map((name) => parseRepositoryName(name)).filter(({ host }) => host === asked.host);
  const registries = new Registries(options.registry);
  const { repository, reference } = registries.destination(asked);
  debug(() => `registry: ${showReference(asked)} is pushed to ${showReference(reference)}`);
  return new RegistryDestination(
    registries,
    repository,
    reference.digest ?? reference.tag ?? 'latest',
    others.map(({ path }) => path),
    options.notes,
  );
}

class RegistryDestination implements Destination {
  readonly manifests = 'any';
  readonly plainLayers = false;
  readonly #registries: Registries;
  readonly #repository: RegistryRepository;
  readonly #reference: string;
  readonly #others: readonly string[];
  readonly #notes: PushNotes | undefined;

  constructor(
    registries: Registries,
    repository: RegistryRepository,
    reference: string,
    others: readonly string[],
    notes: PushNotes | undefined,
  ) {
    this.#registries = registries;
    this.#repository = repository;
    this.#reference = reference;
    this.#others = others;
    this.#notes = notes;
  }

  async takeOver(
    blob: Pick<Descriptor, 'digest' | 'size'>,
    signal: AbortSignal,
  ): Promise<'present' | 'mounted' | undefined> {
    const { host, path } = this.#repository.name;
    const found = (await hasBlob(this.#repository, blob, signal)) ? 'present' : await this.#mount(blob.digest, signal);
    if (found !== undefined) this.#notes?.notePlace(host, blob.digest, path);
    return found;
  }

  async putBlob(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome> {
    const { host, path } = this.#repository.name;
    const to = `${host}/${path}`;
    const resume = this.#notes?.uploadOf(to, blob.key);
    let begun = resume !== undefined;
    let start = 0;
    let sent = 0;
    const outcome = await pushBlob(
      this.#repository,
      {
        digest: blob.facts?.digest ?? (() => factsOf(blob).digest),
        size: blob.facts?.size,
        open: (from) => blob.open(from),
      },
      {
        resume,
        signal,
        mountFrom: blob.facts && this.#mayHave(blob.facts.digest)[0],
        onLocation: (location) => this.#notes?.noteUpload(to, blob.key, location),
        onStart: (from) => {
          if (begun) watch.onContinue(from);
          begun = false;
          start = from;
        },
        onProgress: (done) => {
          sent += Math.max(done - start, 0);
          start = done;
          watch.onProgress(done, sent);
        },
        onRetry: (reason) => watch.onRetry(reason),
      },
    );
    this.#notes?.forgetUpload(to, blob.key);
    this.#notes?.notePlace(host, factsOf(blob).digest, path);
    return outcome;
  }

  async putImage({ manifest }: FinishedImage, signal: AbortSignal): Promise<void> {
    await putManifest(this.#repository, this.#reference, manifest, signal);
  }

  async hasManifest(digest: string, signal: AbortSignal): Promise<boolean> {
    return (await hasManifest(this.#repository, digest, signal)) !== undefined;
  }

  async putReferrer({ manifest, subject, artifactType, annotations }: Referrer, signal: AbortSignal): Promise<void> {
    const { knowsSubject } = await putManifest(this.#repository, manifest.digest, manifest, signal);
    if (knowsSubject) return;
    const { mediaType, digest, bytes } = manifest;
    await addToFallback(
      this.#repository,
      subject,
      {
        mediaType,
        digest,
        size: bytes.length,
        artifactType,
        ...(annotations !== undefined && { annotations: { ...annotations } }),
      },
      signal,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registries[Symbol.asyncDispose]();
  }

  async #mount(digest: string, signal: AbortSignal): Promise<'mounted' | undefined> {
    for (const from of this.#mayHave(digest))
      if (await mountBlob(this.#repository, digest, from, signal)) return 'mounted';
    return undefined;
  }

  /** Other repositories at this registry, the likeliest first. */
  #mayHave(digest: string): RepositoryName[] {
    const { host, path: own } = this.#repository.name;
    const known = new Set([...(this.#notes?.placesOf(host, digest) ?? []), ...this.#others]);
    known.delete(own);
    return [...known].map((path) => ({ host, path }));
  }
}

function factsOf({ name, facts }: OutgoingBlob): { digest: string; size: number } {
  if (facts === undefined) throw new Error(`blob ${name} was not read to its end`);
  return facts;
}
