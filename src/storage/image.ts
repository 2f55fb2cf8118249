import { createHash } from 'node:crypto';
import * as z from 'zod';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../errors.js';
import { SIGNATURES_LIMIT, STATEMENT_LIMIT, STORE_CONFIG_LIMIT, STORE_MANIFEST_LIMIT } from '../limits.js';
import { parseJson } from './read-file.js';
import { digestSchema, type ImageRecord } from './records.js';
import type { StoreRoot } from './root.js';

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const ALGORITHMS = ['sha256', 'sha384', 'sha512'];
const LISTS = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
/** Keys of big data that hold a manifest of the image, or the list it was pulled through. */
const MANIFEST_KEY = 'manifest';

const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
const manifestSchema = z.object({
  mediaType: z.string().nullish(),
  config: descriptorSchema,
});
const word = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const platformSchema = z.object({ os: word, architecture: word, variant: word });
const listSchema = z.object({
  mediaType: z.string().nullish(),
  manifests: z
    .array(z.object({ digest: z.string(), platform: platformSchema.nullish() }))
    .nullish()
    .transform((manifests) => manifests ?? []),
});

const sizesSchema = z.array(z.number().int().min(1).max(STATEMENT_LIMIT)).max(SIGNATURES_LIMIT).nullish();
/** What containers/image keeps about signatures: the lengths of those that lie in one file. */
const metadataSchema = z.object({
  'signature-sizes': sizesSchema,
  'signatures-sizes': z.record(z.string(), sizesSchema).nullish(),
});

/** What a manifest or list says of a blob. */
export interface Descriptor {
  mediaType: string;
  /** sha256:… */
  digest: string;
  /** bytes */
  size: number;
}

interface Manifest {
  bytes: Buffer;
  digest: string;
  mediaType: string;
  config: Descriptor;
}

export type ManifestList = z.output<typeof listSchema>;
/** An entry of a list. */
export type Instance = ManifestList['manifests'][number];

/** An image of a store: its names and the exact bytes of its manifest and config. */
export class StoredImage {
  readonly id: string;
  readonly names: readonly string[];
  /** names that it had, as the store lists them */
  readonly namesHistory: readonly string[];
  /** ID of the top layer; artifacts have none */
  readonly topLayer: string | undefined;
  readonly #root: StoreRoot;
  readonly #record: ImageRecord;
  readonly #wanted: string | undefined;
  readonly #problem: FormatError | undefined;
  #found: Manifest | ManifestList | undefined;

  /**
   * @internal
   * @param special `wanted`: digest of the manifest that was asked for, when the image has several; `problem`: why it
   *   cannot be used
   */
  constructor(root: StoreRoot, record: ImageRecord, special: { wanted?: string; problem?: FormatError } = {}) {
    this.id = record.id;
    this.names = record.names ?? [];
    this.namesHistory = record['names-history'] ?? [];
    this.topLayer = record.layer || undefined;
    this.#root = root;
    this.#record = record;
    this.#wanted = special.wanted;
    this.#problem = special.problem;
  }

  /** The same image, with the manifest of this digest rather than the one the store puts first. */
  withManifest(digest: string): StoredImage {
    return new StoredImage(this.#root, this.#record, { wanted: digest });
  }

  /** Digests that name this image: of its manifests, and of the lists it was pulled through. */
  get manifestDigests(): readonly string[] {
    const prefix = `${MANIFEST_KEY}-`;
    const keyed = (this.#record['big-data-names'] ?? [])
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length));
    // The digest of a list that grew is only here.
    const plain = this.#record['big-data-digests']?.[MANIFEST_KEY];
    return [...new Set([this.#record.digest, plain, ...keyed])].filter((digest): digest is string => Boolean(digest));
  }

  /**
   * The exact bytes of the manifest, checked against its digest.
   * @throws NotFoundError, DigestMismatchError; FormatError `BAD_JSON`, `UNSUPPORTED_MANIFEST`
   */
  manifest(): Buffer {
    return this.#read().bytes;
  }

  /** sha256:… of the exact bytes of the manifest */
  get manifestDigest(): string {
    return this.#read().digest;
  }

  /** Media type of the manifest: OCI's or Docker's schema 2. */
  get mediaType(): string {
    return this.#read().mediaType;
  }

  /** The manifest's words about the config. */
  get configDescriptor(): Descriptor {
    return this.#read().config;
  }

  /** The exact bytes of the config, checked against the manifest. @throws NotFoundError, DigestMismatchError */
  config(): Buffer {
    const { digest } = this.configDescriptor;
    const bytes = this.#root.imageData(this.id, digest, STORE_CONFIG_LIMIT);
    if (!bytes) throw new NotFoundError(`image ${this.id} has no config ${digest} in the store`);
    checkDigest(`config of image ${this.id}`, digest, bytes);
    return bytes;
  }

  /**
   * The signatures kept with the image, as they are.
   * @param instance digest of the manifest, where it is one of a list that the image was pulled through
   * @throws FormatError `BAD_JSON`, `SIGNATURE`
   */
  signatures(instance?: string): Buffer[] {
    const what = `metadata of image ${this.id}`;
    const text = this.#record.metadata;
    if (!text) return [];
    const metadata = parseJson(Buffer.from(text), metadataSchema, what);
    const sizes =
      instance === undefined ? metadata['signature-sizes'] : ownValue(metadata['signatures-sizes'] ?? {}, instance);
    if (!sizes?.length) return [];
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const key = instance === undefined ? 'signatures' : `signature-${instance.slice(instance.indexOf(':') + 1)}`;
    const bytes = this.#root.imageData(this.id, key, total);
    if (bytes?.length !== total)
      throw new FormatError(
        'SIGNATURE',
        `the signatures of image ${this.id} have ${bytes?.length ?? 'no'} bytes, its metadata says ${total}`,
      );
    let at = 0;
    return sizes.map((size) => bytes.subarray(at, (at += size)));
  }

  /**
   * The exact bytes of the other manifests that the store keeps with the image: the lists it was pulled through.
   * @throws NotFoundError, DigestMismatchError
   */
  lists(): Buffer[] {
    const prefix = `${MANIFEST_KEY}-`;
    const own = this.manifestDigest;
    return (this.#record['big-data-names'] ?? []).flatMap((key) => {
      const digest = key.startsWith(prefix) ? key.slice(prefix.length) : own;
      if (digest === own) return [];
      const bytes = this.#root.imageData(this.id, key, STORE_MANIFEST_LIMIT);
      if (!bytes) throw new NotFoundError(`image ${this.id} has no manifest ${digest} in the store`);
      checkDigest(`manifest of image ${this.id}`, digest, bytes);
      return [bytes];
    });
  }

  /**
   * What the store keeps beside the image under a digest: its config, and whatever else was stored with it.
   * @throws NotFoundError, DigestMismatchError
   */
  data(digest: string): Buffer {
    const bytes = this.#root.imageData(this.id, digest, STORE_CONFIG_LIMIT);
    if (!bytes) throw new NotFoundError(`image ${this.id} has no blob ${digest} in the store`);
    checkDigest(`blob of image ${this.id}`, digest, bytes);
    return bytes;
  }

  /**
   * What the manifest list names that this record stands for, as `podman manifest create` and `podman build --manifest`
   * make them; undefined for an image.
   */
  instances(): readonly Instance[] | undefined {
    try {
      const found = this.#document();
      return 'manifests' in found ? found.manifests : undefined;
    } catch (error) {
      // What is wrong with it is said to whoever reads it.
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }

  /** The multi-platform list with this digest, if it is one the image was pulled through. */
  list(digest: string): ManifestList | undefined {
    const bytes = this.#root.imageData(this.id, `${MANIFEST_KEY}-${digest}`, STORE_MANIFEST_LIMIT);
    if (!bytes) return undefined;
    checkDigest(`manifest list of image ${this.id}`, digest, bytes);
    const result = listSchema.safeParse(parseJson(bytes, z.unknown(), 'manifest list'));
    return result.success ? result.data : undefined;
  }

  #read(): Manifest {
    const found = this.#document();
    if ('manifests' in found)
      throw new FormatError(
        'UNSUPPORTED_MANIFEST',
        `${this.id} is a manifest list and no image; name one of its images`,
      );
    return found;
  }

  #document(): Manifest | ManifestList {
    if (this.#problem !== undefined) throw this.#problem;
    return (this.#found ??= this.#find());
  }

  #find(): Manifest | ManifestList {
    // Of an image that was pulled through a list, the record has the list's digest.
    let expected = this.#record.digest;
    for (const digest of [this.#wanted, this.#record.digest]) {
      if (!digest) continue;
      const bytes = this.#root.imageData(this.id, `${MANIFEST_KEY}-${digest}`, STORE_MANIFEST_LIMIT);
      if (!bytes) continue;
      checkDigest(`manifest of image ${this.id}`, digest, bytes);
      if (!isList(bytes)) return readManifest(bytes, this.id);
      if (digest === this.#record.digest) expected = this.#record['big-data-digests']?.[MANIFEST_KEY];
    }
    const bytes = this.#root.imageData(this.id, MANIFEST_KEY, STORE_MANIFEST_LIMIT);
    if (!bytes) throw new NotFoundError(`image ${this.id} has no manifest in the store`);
    // podman makes lists empty and fills them later: the record keeps the digest of the empty one.
    if (isList(bytes)) return parseJson(bytes, listSchema, `manifest list ${this.id}`);
    if (expected) checkDigest(`manifest of image ${this.id}`, expected, bytes);
    return readManifest(bytes, this.id);
  }
}

function ownValue<T>(values: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(values, key) ? values[key] : undefined;
}

function readManifest(bytes: Buffer, image: string): Manifest {
  const head = parseJson(
    bytes,
    z.object({ schemaVersion: z.number().optional(), config: z.unknown().optional() }),
    `manifest of image ${image}`,
  );
  if (head.schemaVersion !== 2 || head.config === undefined) {
    throw new FormatError(
      'UNSUPPORTED_MANIFEST',
      `image ${image} has a manifest without a config, as before 2016; pull or build it again`,
    );
  }
  const { mediaType, config } = parseJson(bytes, manifestSchema, `manifest of image ${image}`);
  // OCI makes mediaType optional, Docker does not.
  const guessed = config.mediaType.startsWith('application/vnd.docker.') ? DOCKER_MANIFEST : OCI_MANIFEST;
  return { bytes, digest: digestOf(bytes), mediaType: mediaType || guessed, config };
}

function isList(bytes: Buffer): boolean {
  const { mediaType, manifests } = parseJson(
    bytes,
    z.object({ mediaType: z.string().nullish(), manifests: z.unknown().optional() }),
    'manifest',
  );
  return mediaType ? LISTS.includes(mediaType) : Array.isArray(manifests);
}

function checkDigest(what: string, expected: string, bytes: Buffer): void {
  const algorithm = expected.slice(0, Math.max(expected.indexOf(':'), 0));
  if (!ALGORITHMS.includes(algorithm))
    throw new FormatError('BAD_DIGEST', `${what}: "${expected}" is no digest of ${ALGORITHMS.join(', ')}`);
  const actual = digestOf(bytes, algorithm);
  if (actual !== expected) throw new DigestMismatchError(what, expected, actual);
}

function digestOf(bytes: Buffer, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}
