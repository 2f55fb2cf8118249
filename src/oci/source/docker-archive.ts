// What `docker save` writes: a tar with a config and the layers' tars, and a `manifest.json` of docker's own that lists
// them.
import type { Abortable } from '../../abortable.js';
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { bytesOf } from '../../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import { DOCUMENT_LIMIT } from '../../limits.js';
import type { Admit, PolicySubject } from '../../registry/policy/image-to-check.js';
import { parseName } from '../../registry/policy/signed-identity.js';
import { ArchiveFiles } from './blobs/archive-files.js';
import { blobImage, ofFiles } from './blobs/blob-image.js';
import { FileBlobs, type BlobQuery, type ImageBlobs } from './blobs/blobs.js';
import { decompressAny, detectCompression, MAGIC_LENGTH } from '../../compress/decompress.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { goJson } from '../../spec/go-json.js';
import { dockerName } from './docker-name.js';
import type { ImageFile } from './blobs/image-files.js';
import { LAYER_TYPES } from '../../spec/layer-types.js';
import {
  checkDigest,
  digestLike,
  MEDIA_TYPES,
  parseConfig,
  parseManifest,
  type Descriptor,
} from '../../spec/manifest.js';
import type { FoundBlob, ImageSource } from './source.js';
import { splitPath } from './split-path.js';

const listing = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z
      .array(z.string())
      .nullish()
      .transform((layers) => layers ?? []),
  }),
);

export interface DockerArchiveOptions extends Abortable {
  /** decides whether the image may come in; default: it may */
  admit?: Admit | undefined;
  /** of what kind to make the manifest, see `OpenSourceOptions`; default: OCI's */
  manifestOfArchives?: 'oci' | 'docker' | undefined;
}

type Item = z.infer<typeof listing>[number];

/** Which image of the archive: a name such as `debian:12`, or a position; may be left out where there is only one. */
type ArchiveChoice = { name: string } | { index: number } | undefined;

interface LayerFile {
  name: string;
  diffId: string;
  mediaType: string;
  digest: string;
  size: number;
}

/**
 * An image in a docker archive. The archive has no manifest, so one is made: of the OCI kind, with the config byte for
 * byte and the layers as they lie in the archive. Equal archives give equal manifests.
 * @param place path of the tar, which may be compressed, and with a colon the image's name, or an @ and its position
 * @throws NotFoundError, FormatError; BridgeError `AMBIGUOUS_IMAGE`, `LAYER_CHAIN`, `POLICY`
 */
export async function openDockerArchive(
  place: string,
  { signal, admit, manifestOfArchives = 'oci' }: DockerArchiveOptions = {},
): Promise<ImageSource> {
  const { path, choice } = splitChoice(place);
  const subject = {
    transport: 'docker-archive',
    scopes: [],
    name: choice !== undefined && 'name' in choice ? parseName(dockerName(choice.name)) : undefined,
    shown: `docker-archive:${place}`,
  };
  const make = manifestOfArchives === 'oci' ? ociManifest : skopeosManifest;
  return imageWith(make, await ArchiveFiles.open(path, { signal }), choice, subject, { signal, admit });
}

/**
 * The same for an archive that is open.
 * @param files move into the result, and are disposed when there is none
 */
export function dockerArchiveImage(
  files: ArchiveFiles,
  choice: ArchiveChoice,
  subject: PolicySubject,
  options: DockerArchiveOptions,
): Promise<ImageSource> {
  return imageWith(ociManifest, files, choice, subject, options);
}

/** Makes the manifest of an image, and finds its blobs. */
type Make = (
  files: ArchiveFiles,
  item: Item,
  config: Buffer,
  signal: AbortSignal | undefined,
) => Promise<{ manifest: Buffer; blobs: ImageBlobs }>;

async function imageWith(
  make: Make,
  files: ArchiveFiles,
  choice: ArchiveChoice,
  subject: PolicySubject,
  { signal, admit }: DockerArchiveOptions,
): Promise<ImageSource> {
  try {
    const item = choose(readListing(files), choice, files.shown);
    const { manifest, blobs } = await make(files, item, readConfig(files, item.Config), signal);
    // There are no signatures in it, nor a manifest that they could be about.
    await admit?.({ subject, manifest, signatures: async () => [] }, { signal });
    return await blobImage(manifest, blobs, ofFiles(files));
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

const ociManifest: Make = async (files, item, config, signal) => {
  const layers = await layerFiles(files, item, diffIdsOf(item, config), signal);
  const manifest = makeManifest(config, layers);
  const names = new Map([
    [parseManifest(manifest).config.digest, item.Config],
    ...layers.map(({ digest, name }) => [digest, name] as const),
  ]);
  return { manifest, blobs: new FileBlobs(files, ({ digest }) => bytesOf(names.get(digest) ?? '')) };
};

/** The manifest that skopeo makes: docker's, with the layers as tars, though it calls them gzip's. */
const skopeosManifest: Make = async (files, item, config, signal) => {
  const layers = await tarFiles(files, item, diffIdsOf(item, config), signal);
  const blobs = new TarBlobs(files, new Map(layers.map((layer) => [layer.diffId, layer])), {
    digest: digestLike('sha256:', config),
    name: item.Config,
  });
  return { manifest: dockerManifest(config, layers), blobs };
};

function diffIdsOf({ Layers }: Item, config: Buffer): string[] {
  const { diff_ids: diffIds } = parseConfig(config).rootfs;
  if (Layers.length !== diffIds.length)
    throw new BridgeError('LAYER_CHAIN', `manifest.json lists ${Layers.length} layers, the config ${diffIds.length}`);
  return diffIds;
}

function splitChoice(place: string): { path: string; choice: ArchiveChoice } {
  const { path, name } = splitPath(place);
  if (name === undefined) return { path, choice: undefined };
  const position = /^@(\d{1,9})$/.exec(name)?.[1];
  return { path, choice: position === undefined ? { name } : { index: Number(position) } };
}

function readListing(files: ArchiveFiles): Item[] {
  using file = files.open('manifest.json');
  if (file === undefined) throw new NotFoundError(`${files.shown} is no docker archive: it has no manifest.json`);
  const bytes = file.read(DOCUMENT_LIMIT);
  try {
    return listing.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new FormatError('MANIFEST_INVALID', `${files.shown}: manifest.json is not that of a docker archive`, {
      cause,
    });
  }
}

function choose(items: readonly Item[], choice: ArchiveChoice, path: string): Item {
  const first = items.slice(0, 20).map(({ RepoTags }) => RepoTags?.[0]);
  const names = first
    .map((name, index) => (name === undefined || first.indexOf(name) < index ? `@${index}` : name))
    .join(', ');
  if (choice === undefined) {
    const [only] = items;
    if (only === undefined) throw new NotFoundError(`${path} lists no image`);
    if (items.length === 1) return only;
    throw new BridgeError(
      'AMBIGUOUS_IMAGE',
      `there is more than one image in ${path} (${names}); add a colon and a name, or a colon, @ and a position`,
    );
  }
  if ('index' in choice) {
    const item = items[choice.index];
    if (item === undefined)
      throw new NotFoundError(`${path} has ${items.length} images, there is none at position ${choice.index}`);
    return item;
  }
  const wanted = dockerName(choice.name);
  const item = items.find(({ RepoTags }) => RepoTags?.some((tag) => dockerName(tag) === wanted));
  if (item === undefined) throw new NotFoundError(`${path} has no image "${choice.name}", only ${names}`);
  return item;
}

function readConfig(files: ArchiveFiles, name: string): Buffer {
  using file = open(files, name);
  return file.read(DOCUMENT_LIMIT);
}

async function layerFiles(
  files: ArchiveFiles,
  { Layers }: Item,
  diffIds: readonly string[],
  signal: AbortSignal | undefined,
): Promise<LayerFile[]> {
  const layers: LayerFile[] = [];
  for (const [index, name] of Layers.entries()) {
    signal?.throwIfAborted();
    const diffId = diffIds[index] as string;
    using file = open(files, name);
    const compression = detectCompression(file.head(MAGIC_LENGTH));
    const { size } = file;
    layers.push({
      name,
      diffId,
      mediaType: LAYER_TYPES[compression],
      digest: compression === 'none' ? diffId : await digestOf(file),
      size,
    });
  }
  return layers;
}

function open(files: ArchiveFiles, name: string): ImageFile {
  const file = files.open(bytesOf(name));
  if (file === undefined)
    throw new NotFoundError(`${files.shown} lists the file ${JSON.stringify(name)} but does not hold it`);
  return file;
}

async function digestOf(file: ImageFile): Promise<string> {
  const hash = createHash('sha256');
  await using source = file.source();
  for await (const piece of source) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

/** A layer's tar in an archive, and how long it is. */
interface TarFile {
  name: string;
  diffId: string;
  /** in bytes, decompressed */
  size: number;
  compressed: boolean;
}

async function tarFiles(
  files: ArchiveFiles,
  { Layers }: Item,
  diffIds: readonly string[],
  signal: AbortSignal | undefined,
): Promise<TarFile[]> {
  const layers: TarFile[] = [];
  for (const [index, name] of Layers.entries()) {
    signal?.throwIfAborted();
    const compressed = isCompressed(files, name);
    const size = compressed ? await lengthOf(tarOf(files, name)) : sizeOf(files, name);
    layers.push({ name, diffId: diffIds[index] as string, size, compressed });
  }
  return layers;
}

/** The layers of an archive by their diff_ids, decompressed where they are not; and the config. */
class TarBlobs implements ImageBlobs {
  readonly #files: ArchiveFiles;
  readonly #layers: ReadonlyMap<string, TarFile>;
  readonly #config: { digest: string; name: string };

  constructor(files: ArchiveFiles, layers: ReadonlyMap<string, TarFile>, config: { digest: string; name: string }) {
    this.#files = files;
    this.#layers = layers;
    this.#config = config;
  }

  async open({ digest }: Descriptor): Promise<ByteSource> {
    return (await this.find({ digest })).bytes;
  }

  async read(what: string, { digest }: Descriptor): Promise<Buffer> {
    const bytes = readConfig(this.#files, this.#config.name);
    checkDigest(what, digest, bytes);
    return bytes;
  }

  async find({ digest }: BlobQuery): Promise<FoundBlob> {
    const layer = this.#layers.get(digest);
    if (layer !== undefined) {
      const { name, size, compressed } = layer;
      return { size, bytes: compressed ? tarOf(this.#files, name) : open(this.#files, name).source() };
    }
    if (digest !== this.#config.digest) throw new NotFoundError(`${this.#files.shown} has no blob ${digest}`);
    const config = open(this.#files, this.#config.name);
    return { size: config.size, bytes: config.source() };
  }
}

function isCompressed(files: ArchiveFiles, name: string): boolean {
  using file = open(files, name);
  return detectCompression(file.head(MAGIC_LENGTH)) !== 'none';
}

function sizeOf(files: ArchiveFiles, name: string): number {
  using file = open(files, name);
  return file.size;
}

function tarOf(files: ArchiveFiles, name: string): ByteSource {
  return decompressAny(open(files, name).source(), (error) => error);
}

async function lengthOf(source: ByteSource): Promise<number> {
  await using owned = source;
  let length = 0;
  for await (const piece of owned) length += piece.length;
  return length;
}

/** Docker's, byte for byte as programs in Go write it. */
function dockerManifest(config: Buffer, layers: readonly TarFile[]): Buffer {
  return goJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifest,
    config: { mediaType: MEDIA_TYPES.dockerConfig, size: config.length, digest: digestLike('sha256:', config) },
    layers: layers.map(({ diffId, size }) => ({
      mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
      size,
      digest: diffId,
    })),
  });
}

function makeManifest(config: Buffer, layers: readonly LayerFile[]): Buffer {
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, digest: digestLike('sha256:', config), size: config.length },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  return Buffer.from(JSON.stringify(manifest));
}
