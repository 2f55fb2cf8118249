// An image or artifact of a repository, brought to where containers' tools keep theirs.
import type { Compression } from '../../compress/decompress.js';
import { NotFoundError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { PushNotes } from '../../repository/push-notes.js';
import type { Repository } from '../../repository/repository.js';
import type { BlobFacts, Descriptor } from '../../spec/manifest.js';
import { openImage, referrers, streamOf, type RepositoryImage } from '../image/image.js';
import { tarSize } from '../image/repository-layer.js';
import { checkPushOptions } from './check-options.js';
import type { Destination } from './destination/destination.js';
import { openDestination } from './destination/open.js';
import { inParallel } from '../in-parallel.js';
import { bytesBlob, CompressedLayer, storedBlob, tarOfLayer, type OutgoingBlob } from './outgoing-blob.js';
import { compressionOf, outgoingManifest, type NewLayer, type OutgoingManifest } from './outgoing-manifest.js';
import type { BlobOutcome, CompressedAnew, PushedBlob, PushOptions, PushResult } from './types.js';

/** As pulls do. */
const PARALLEL = 3;

/**
 * Pushes an image: its config as it is, each layer as the blob that it was pulled as, where that is in the repository
 * or at the destination, or else put together and compressed anew, and last the manifest, with other digests in it
 * where layers have other ones. What is there is not sent. Each layer is verified against its diff_id on its way out.
 * @param reference a tag, or `@` and the digest of a manifest
 * @param destination as `docker://REF`, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`, `dir:DIR`,
 *   `docker-archive:FILE[:NAME]`
 * @throws NotFoundError, FormatError, DigestMismatchError for what is not in the repository, or damaged there;
 *   RegistryError, HttpError; BridgeError `DESTINATION_EXISTS`, `COMPRESSION_LEVEL`, `NO_REFERRERS`, `NOT_AN_IMAGE`;
 *   the signal's reason
 * @example
 * ```ts
 * import { pushImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { manifestDigest, blobs } = await pushImage(repository, 'debian', 'docker://registry.example.org/a/b:2', {
 *   compression: 'zstd',
 *   onEvent: (event) => console.error(event),
 * });
 * console.log(manifestDigest, blobs.length); // sha256:… 2
 * ```
 */
export async function pushImage(
  repository: Repository,
  reference: string,
  destination: string,
  options: PushOptions = {},
): Promise<PushResult> {
  checkPushOptions(options);
  const image = await openImage(repository, reference);
  using notes = repository.believed ? PushNotes.open(repository.root) : undefined;
  await using to = await openDestination(destination, {
    registry: options.registry,
    mountFrom: options.mountFrom ?? [],
    notes,
  });
  checkPushOptions(options, to, image);
  return await new Push(repository, to, notes, options).run(image);
}

/** A layer and what it will be at the destination. */
interface PushedLayer {
  blob: PushedBlob;
  /** undefined: what the manifest says */
  fresh: NewLayer | undefined;
}

class Push {
  readonly #repository: Repository;
  readonly #to: Destination;
  readonly #notes: PushNotes | undefined;
  readonly #options: PushOptions;
  readonly #signal: AbortSignal;

  constructor(repository: Repository, to: Destination, notes: PushNotes | undefined, options: PushOptions) {
    this.#repository = repository;
    this.#to = to;
    this.#notes = notes;
    this.#options = options;
    this.#signal = options.signal ?? new AbortController().signal;
  }

  async run(image: RepositoryImage): Promise<PushResult> {
    const { manifest, blobs } = await this.#content(image);
    const sent = this.#options.referrers === true ? await this.#referrers(image, manifest) : [];
    const finished = {
      manifest,
      config: image.configStream.bytes,
      configDigest: image.configStream.digest,
      diffIds: image.config?.rootfs.diff_ids ?? [],
    };
    await this.#to.putImage(finished, this.#signal);
    const { digest, mediaType } = manifest;
    this.#options.onEvent?.({ kind: 'manifest', digest, mediaType });
    return {
      manifestDigest: digest,
      storedDigest: image.digest,
      configDigest: image.configStream.digest,
      mediaType,
      blobs,
      referrers: sent,
    };
  }

  /** Everything that a manifest refers to. */
  async #content(image: RepositoryImage): Promise<{ manifest: OutgoingManifest; blobs: PushedBlob[] }> {
    const { manifest } = image;
    const layers = image.config === undefined ? await this.#artifact(image) : await this.#layers(image);
    const config = await this.#send(
      bytesBlob(manifest.config.digest, image.configStream.bytes),
      undefined,
      this.#signal,
    );
    return {
      manifest: outgoingManifest(
        image.manifestStream.bytes,
        image.digest,
        layers.map(({ fresh }) => fresh),
        this.#to.manifests,
      ),
      blobs: [...new Map([...layers.map(({ blob }) => blob), config].map((blob) => [blob.digest, blob])).values()],
    };
  }

  /** One for each layer of the manifest; what occurs twice is sent once. */
  async #layers(image: RepositoryImage): Promise<PushedLayer[]> {
    const diffIds = image.config?.rootfs.diff_ids ?? [];
    const places = image.manifest.layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index] }));
    const keyOf = ({ descriptor: { digest, mediaType }, diffId }: (typeof places)[number]): string =>
      `${digest} ${mediaType} ${diffId}`;
    const distinct = [...new Map(places.map((place) => [keyOf(place), place])).values()];
    const pushed = await this.#each(distinct, ({ descriptor, diffId }, signal) => {
      if (diffId === undefined) throw new NotFoundError(`the config has no diff_id for layer ${descriptor.digest}`);
      return this.#layer(image, descriptor, diffId, signal);
    });
    const byKey = new Map(distinct.map((place, index) => [keyOf(place), pushed[index] as PushedLayer]));
    return places.map((place) => byKey.get(keyOf(place)) as PushedLayer);
  }

  async #artifact(image: RepositoryImage): Promise<PushedLayer[]> {
    const distinct = [...new Map(image.manifest.layers.map((layer) => [layer.digest, layer])).values()];
    const pushed = await this.#each(distinct, async (descriptor, signal) => {
      const stream = streamOf(image, descriptor.digest);
      if (stream === undefined) throw new NotFoundError(`the repository has no blob ${descriptor.digest}`);
      const blob = storedBlob(this.#repository, stream, descriptor, signal);
      return this.#send(blob, undefined, signal);
    });
    const byDigest = new Map(pushed.map((blob) => [blob.digest, blob]));
    return image.manifest.layers.map(({ digest }) => ({
      blob: byDigest.get(digest) as PushedBlob,
      fresh: undefined,
    }));
  }

  #each<Item, Result>(
    items: readonly Item[],
    job: (item: Item, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result[]> {
    return inParallel(items, this.#options.parallel ?? PARALLEL, this.#signal, job);
  }

  async #layer(
    image: RepositoryImage,
    descriptor: Descriptor,
    diffId: string,
    signal: AbortSignal,
  ): Promise<PushedLayer> {
    const { digest, size, mediaType } = descriptor;
    const stream = streamOf(image, diffId);
    if (stream === undefined) throw new NotFoundError(`the repository has no layer ${diffId}`);
    const isTar = digest === diffId;
    const was: Compression = isTar ? 'none' : (compressionOf(mediaType) ?? 'gzip');
    const wanted = this.#to.plainLayers ? 'none' : (this.#options.compression ?? was);
    if (wanted === was) {
      const same = await this.#asItWas(image, descriptor, diffId, stream, signal);
      if (same !== undefined) return { blob: same, fresh: undefined };
    }
    const why: CompressedAnew = wanted === was ? 'not-kept' : this.#to.plainLayers ? 'destination' : 'asked-for';
    this.#options.onEvent?.({ kind: 'compressed-anew', diffId, was: digest, why });
    const choice = { compression: wanted, level: wanted === 'none' ? undefined : this.#options.compressionLevel };
    const made =
      wanted === 'none'
        ? tarOfLayer(this.#repository, stream, diffId, tarSize(this.#repository, stream), signal)
        : new CompressedLayer(this.#repository, stream, diffId, choice, (key) => this.#notes?.layerOf(key), signal);
    const blob = await this.#send(made, diffId, signal);
    const fresh = blob.digest === digest && blob.size === size ? undefined : { ...factsOf(blob), compression: wanted };
    return { blob, fresh };
  }

  /** The blob that the layer was pulled as. @returns undefined where it is nowhere */
  async #asItWas(
    image: RepositoryImage,
    descriptor: Descriptor,
    diffId: string,
    stream: ObjectId,
    signal: AbortSignal,
  ): Promise<PushedBlob | undefined> {
    const { digest, size } = descriptor;
    if (digest === diffId)
      return this.#send(tarOfLayer(this.#repository, stream, diffId, size, signal), diffId, signal);
    const kept = streamOf(image, digest);
    if (kept !== undefined) return this.#send(storedBlob(this.#repository, kept, descriptor, signal), diffId, signal);
    const outcome = await this.#to.takeOver(descriptor, signal);
    return outcome === undefined ? undefined : this.#tell(digest, { digest, size, diffId, outcome });
  }

  async #send(blob: OutgoingBlob, diffId: string | undefined, signal: AbortSignal): Promise<PushedBlob> {
    const { onEvent } = this.#options;
    const { name } = blob;
    const outcome: BlobOutcome = await this.#to.putBlob(
      blob,
      {
        onProgress: (done, sent) => onEvent?.({ kind: 'progress', name, done, sent, size: blob.facts?.size }),
        onContinue: (from) => onEvent?.({ kind: 'continued', name, from }),
        onRetry: (reason) => onEvent?.({ kind: 'retry', name, reason }),
      },
      signal,
    );
    const { facts } = blob;
    if (facts === undefined) throw new Error(`blob ${name} was not read to its end`);
    if (blob instanceof CompressedLayer) this.#notes?.noteLayer(blob.key, facts);
    return this.#tell(name, { ...factsOf(facts), diffId, outcome });
  }

  #tell(name: string, blob: PushedBlob): PushedBlob {
    this.#options.onEvent?.({ kind: 'blob', name, blob });
    return blob;
  }

  /** Sends what refers to the manifest, and what refers to that. */
  async #referrers({ digest }: RepositoryImage, sent: OutgoingManifest): Promise<string[]> {
    const direct = referrers(this.#repository, digest);
    if (digest !== sent.digest) {
      // They speak of a digest that nobody finds there.
      if (direct.length > 0) this.#options.onEvent?.({ kind: 'referrers-left', digests: direct });
      return [];
    }
    const found: string[] = [];
    for (const pending = direct.map((referrer) => ({ referrer, subject: digest })); pending.length > 0; ) {
      const { referrer, subject } = pending.shift() as (typeof pending)[number];
      if (found.includes(referrer)) continue;
      this.#signal.throwIfAborted();
      found.push(referrer);
      const image = await openImage(this.#repository, `@${referrer}`);
      const { manifest } = await this.#content(image);
      const { artifactType, config, annotations } = image.manifest;
      await this.#to.putReferrer?.(
        { manifest, subject, artifactType: artifactType ?? config.mediaType, annotations: annotations ?? undefined },
        this.#signal,
      );
      pending.push(...referrers(this.#repository, referrer).map((next) => ({ referrer: next, subject: referrer })));
    }
    return found;
  }
}

function factsOf({ digest, size }: BlobFacts): BlobFacts {
  return { digest, size };
}
