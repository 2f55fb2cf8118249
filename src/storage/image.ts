import { createHash } from 'node:crypto';
import * as z from 'zod';
import { DigestMismatchError, FormatError, NotFoundError } from '../errors.js';
import { parseJson } from './read-file.js';
import { digestSchema, type ImageRecord } from './records.js';
import type { StoreRoot } from './root.js';

/** Registries refuse manifests above 4 MiB; configs are as small in practice, but nobody limits them. */
const MANIFEST_LIMIT = 4 << 20;
const CONFIG_LIMIT = 32 << 20;

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const LISTS = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
/** Keys of big data that hold a manifest of the image, or the list it was pulled through. */
const MANIFEST_KEY = 'manifest';

const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
const manifestSchema = z.object({
  mediaType: z.string().optional(),
  config: descriptorSchema,
});
const listSchema = z.object({
  mediaType: z.string().optional(),
  manifests: z.array(z.object({ digest: z.string(), platform: z.object({ os: z.string(), architecture: z.string() }).nullish() })),
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

/** An image of a store: its names and the exact bytes of its manifest and config. */
export class StoredImage {
  readonly id: string;
  readonly names: readonly string[];
  /** ID of the top layer; artifacts have none */
  readonly topLayer: string | undefined;
  readonly #root: StoreRoot;
  readonly #record: ImageRecord;
  readonly #wanted: string | undefined;
  #manifest: Manifest | undefined;

  /** @param wanted digest of the manifest that was asked for, when the image has several */
  constructor(root: StoreRoot, record: ImageRecord, wanted?: string) {
    this.id = record.id;
    this.names = record.names ?? [];
    this.topLayer = record.layer || undefined;
    this.#root = root;
    this.#record = record;
    this.#wanted = wanted;
  }

  /** The same image, with the manifest of this digest rather than the one the store puts first. */
  withManifest(digest: string): StoredImage {
    return new StoredImage(this.#root, this.#record, digest);
  }

  /** Digests that name this image: of its manifests, and of the lists it was pulled through. */
  get manifestDigests(): readonly string[] {
    const prefix = `${MANIFEST_KEY}-`;
    const keyed = (this.#record['big-data-names'] ?? []).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    return this.#record.digest ? [this.#record.digest, ...keyed] : keyed;
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
    const bytes = this.#root.imageData(this.id, digest, CONFIG_LIMIT);
    if (!bytes) throw new NotFoundError(`image ${this.id} has no config ${digest} in the store`);
    checkDigest(`config of image ${this.id}`, digest, bytes);
    return bytes;
  }

  /** The multi-platform list with this digest, if it is one the image was pulled through. */
  list(digest: string): ManifestList | undefined {
    const bytes = this.#root.imageData(this.id, `${MANIFEST_KEY}-${digest}`, MANIFEST_LIMIT);
    if (!bytes) return undefined;
    checkDigest(`manifest list of image ${this.id}`, digest, bytes);
    const result = listSchema.safeParse(parseJson(bytes, z.unknown(), 'manifest list'));
    return result.success ? result.data : undefined;
  }

  #read(): Manifest {
    return (this.#manifest ??= this.#find());
  }

  #find(): Manifest {
    for (const digest of [this.#wanted, this.#record.digest]) {
      if (!digest) continue;
      const bytes = this.#root.imageData(this.id, `${MANIFEST_KEY}-${digest}`, MANIFEST_LIMIT);
      if (!bytes) continue;
      checkDigest(`manifest of image ${this.id}`, digest, bytes);
      if (!isList(bytes)) return readManifest(bytes, this.id);
    }
    const bytes = this.#root.imageData(this.id, MANIFEST_KEY, MANIFEST_LIMIT);
    if (!bytes) throw new NotFoundError(`image ${this.id} has no manifest in the store`);
    if (this.#record.digest) checkDigest(`manifest of image ${this.id}`, this.#record.digest, bytes);
    return readManifest(bytes, this.id);
  }
}

function readManifest(bytes: Buffer, image: string): Manifest {
  const head = parseJson(bytes, z.object({ schemaVersion: z.number().optional(), config: z.unknown().optional() }), `manifest of image ${image}`);
  if (head.schemaVersion !== 2 || head.config === undefined) {
    throw new FormatError('UNSUPPORTED_MANIFEST', `image ${image} has a manifest without a config, as before 2016; pull or build it again`);
  }
  const { mediaType, config } = parseJson(bytes, manifestSchema, `manifest of image ${image}`);
  // OCI makes mediaType optional, Docker does not.
  const guessed = config.mediaType.startsWith('application/vnd.docker.') ? DOCKER_MANIFEST : OCI_MANIFEST;
  return { bytes, digest: sha256(bytes), mediaType: mediaType ?? guessed, config };
}

function isList(bytes: Buffer): boolean {
  const { mediaType, manifests } = parseJson(bytes, z.object({ mediaType: z.string().optional(), manifests: z.unknown().optional() }), 'manifest');
  return mediaType !== undefined ? LISTS.includes(mediaType) : Array.isArray(manifests);
}

function checkDigest(what: string, expected: string, bytes: Buffer): void {
  const actual = sha256(bytes);
  if (actual !== expected) throw new DigestMismatchError(what, expected, actual);
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
