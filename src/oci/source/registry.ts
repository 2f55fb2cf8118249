import type { Abortable } from '../../abortable.js';
import { ownSurroundings } from '../../storage/containers-config.js';
import { debug } from '../../debug.js';
import { FormatError } from '../../errors.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { DOCUMENT_LIMIT } from '../../limits.js';
import type { Admit, ImageToCheck } from '../../registry/policy/image-to-check.js';
import { admission, type PolicyChoice } from '../../registry/policy/policy.js';
import { dockerScopes } from '../../registry/policy/scopes.js';
import { parseName } from '../../registry/policy/signed-identity.js';
import type { PullSource } from '../../registry/pull-source.js';
import { listReferrers } from '../../registry/referrers.js';
import { Registries, type RegistryOptions } from '../../registry/registries.js';
import type { KeptParts } from '../../repository/kept-parts.js';
import { DELTA_ANNOTATION } from '../../spec/delta.js';
import { digestLike, parseIndex, type Descriptor } from '../../spec/manifest.js';
import type { Platform } from '../../spec/platform.js';
import { parseRegistryReference, showReference, type RegistryReference } from '../../spec/reference.js';
import { blobImage } from './blobs/blob-image.js';
import type { BlobQuery, ImageBlobs } from './blobs/blobs.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import { RegistryBlob, type FetchProgress } from './registry-blob.js';
import { isIndexType, isManifestType, selectManifest } from './select-manifest.js';
import type { FoundBlob, ImageSource, Referrer } from './source.js';
import { begun } from './begun.js';
import { besideImage } from './beside-image.js';

export interface RegistryImageOptions extends RegistryOptions, PolicyChoice, Abortable {
  /** which image of an index to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** decides instead of a policy */
  admit?: Admit | undefined;
  /** where signatures are kept is said in this folder, and not in registries.d */
  registriesDir?: string | undefined;
  /** how many layers to fetch at the same time; default: `PARALLEL_LAYERS.registry` */
  parallel?: number | undefined;
  /** where what comes of large blobs is kept until they are in; the caller disposes it */
  parts?: KeptParts | undefined;
  /** whether that goes for the blobs of deltas, too; default: they leave nothing but objects */
  deltaParts?: boolean | undefined;
  /** some bytes of a blob have come */
  onFetch?: ((progress: FetchProgress) => void) | undefined;
  /** a connection to a blob was lost, and a new one goes on at this offset */
  onResume?: ((digest: string, at: number, error: Error) => void) | undefined;
}

/**
 * An image in a registry. Its layers are streamed: nothing of them is kept on the way.
 * @param text as `//HOST/PATH:TAG`, what follows `docker:`
 * @throws RegistryError, HttpError; BridgeError `PLATFORM`, `POLICY`, `REGISTRY_BLOCKED`; FormatError,
 *   DigestMismatchError
 * @example
 * ```ts
 * import { openRegistryImage, pullImage, Repository } from 'composefs-bridge';
 *
 * await using source = await openRegistryImage('//registry.example.org/a/b:1', {
 *   credentials: { kind: 'basic', username: 'me', password: 'secret' },
 *   onFetch: ({ digest }) => console.error(digest),
 * });
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * console.log((await pullImage(repository, source, { name: 'b' })).tag); // b
 * ```
 */
export async function openRegistryImage(text: string, options: RegistryImageOptions = {}): Promise<ImageSource> {
  const reference = parseRegistryReference(text);
  const admit = options.admit ?? admission(options, options.surroundings, options.onWarning);
  const registries = new Registries(options);
  try {
    const source = registries.source(reference);
    const blobs = new RegistryBlobs(source, options);
    const { manifest, list } = await chooseManifest(source, blobs, options.platform, options.signal);
    debug(
      () =>
        `registry: ${showReference(reference)} is manifest ${digestLike('sha256:', manifest)} of ` +
        `${source.repository.name.host}`,
    );
    await admit?.(imageToCheck(source, reference, manifest, options), options);
    // What comes from elsewhere is nobody's secret here, so that layers need not wait until they are known to be right.
    const image = await blobImage(manifest, blobs, {
      trusted: true,
      parallelLayers: options.parallel ?? PARALLEL_LAYERS.registry,
      extras: () => besideImage(list),
      close: () => registries[Symbol.asyncDispose](),
    });
    const digest = digestLike(reference.digest ?? 'sha256:', manifest);
    return { ...image, referrers: (signal) => referrersOf(source, blobs, digest, signal) };
  } catch (error) {
    await registries[Symbol.asyncDispose]();
    throw error;
  }
}

async function chooseManifest(
  source: PullSource,
  blobs: RegistryBlobs,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
): Promise<{ manifest: Buffer; list?: Buffer }> {
  const { bytes, mediaType } = await source.manifest(signal);
  if (!isIndexType(mediaType)) return { manifest: bytes };
  const manifest = await selectManifest(parseIndex(bytes).manifests, blobs, platform, { oneIndex: true });
  return { manifest, list: bytes };
}

async function referrersOf(
  source: PullSource,
  blobs: RegistryBlobs,
  digest: string,
  signal: AbortSignal,
): Promise<Referrer[]> {
  const listed = await listReferrers(source.repository, digest, undefined, signal);
  return listed.map((descriptor) => {
    const manifest = async (wanted: AbortSignal): Promise<Buffer> =>
      (await source.manifestOf(descriptor.digest, wanted)).bytes;
    return {
      descriptor,
      manifest,
      open: async (wanted) =>
        blobImage(await manifest(wanted), blobs, { trusted: true, parallelLayers: 1, close: () => undefined }),
    };
  });
}

function imageToCheck(
  source: PullSource,
  reference: RegistryReference,
  manifest: Buffer,
  { surroundings = ownSurroundings(), registriesDir, signal }: RegistryImageOptions,
): ImageToCheck {
  const shown = showReference(reference);
  return {
    subject: { transport: 'docker', scopes: dockerScopes(shown), name: parseName(shown), shown },
    manifest,
    signatures: async () => {
      // What has to do with signatures is loaded when they are looked for.
      const { registrySignatures } = await import('../../registry/signatures/of-registry.js');
      const { repository } = source;
      return registrySignatures({
        repository,
        reference: { ...reference, ...repository.name },
        digest: digestLike('sha256:', manifest),
        surroundings,
        registriesDir,
        signal,
      });
    },
  };
}

/** The blobs of an image, each read when it is asked for; manifests of an index are some of them. */
class RegistryBlobs implements ImageBlobs {
  readonly #source: PullSource;
  readonly #options: RegistryImageOptions;

  constructor(source: PullSource, options: RegistryImageOptions) {
    this.#source = source;
    this.#options = options;
  }

  async open(descriptor: Descriptor, signal: AbortSignal): Promise<ByteSource> {
    const { digest, annotations } = descriptor;
    const { onResume, onFetch, parts, deltaParts } = this.#options;
    const isOfDelta = annotations?.[DELTA_ANNOTATION.content] !== undefined;
    return new RegistryBlob(descriptor, {
      fetch: (from) =>
        this.#source.blob(descriptor, { from, signal, onResume: (at, error) => onResume?.(digest, at, error) }),
      part: isOfDelta && deltaParts !== true ? undefined : parts?.open(descriptor),
      signal,
      onFetch,
    });
  }

  landed({ digest }: Descriptor): void {
    this.#options.parts?.drop(digest);
  }

  async find({ digest, size, urls, signal }: BlobQuery): Promise<FoundBlob> {
    const body = this.#source.blob(
      { digest, size, urls },
      { signal, onResume: (at, error) => this.#options.onResume?.(digest, at, error) },
    );
    // What the registry says to the request is said before the first byte.
    const bytes = await begun(body);
    return { size: body.total, bytes };
  }

  async read(what: string, descriptor: Descriptor): Promise<Buffer> {
    const { signal } = this.#options;
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType))
      return this.#source.smallBlob(what, descriptor, DOCUMENT_LIMIT, signal);
    const { bytes } = await this.#source.manifestOf(descriptor.digest, signal);
    if (bytes.length !== descriptor.size)
      throw new FormatError(
        'BLOB_SIZE',
        `${what} ${descriptor.digest} has ${bytes.length} bytes, its descriptor says ${descriptor.size}`,
      );
    return bytes;
  }
}
