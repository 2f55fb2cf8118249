// What `docker save` writes: a tar with a config and the layers' tars, and a `manifest.json` of docker's own that lists them.
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { bytesOf } from '../../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import { ArchiveFiles } from '../blob/archive-files.js';
import { detectCompression, MAGIC_LENGTH } from '../blob/decompress.js';
import { dockerName } from './docker-name.js';
import type { ImageFile } from '../blob/image-files.js';
import { LAYER_TYPES } from '../blob/layer-types.js';
import { digestLike, JSON_LIMIT, MEDIA_TYPES, parseConfig } from '../manifest.js';
import { PARALLEL_LAYERS } from '../blob/parallel-layers.js';
import type { ImageSource } from './source.js';
import { tarBlob } from '../blob/tar-blob.js';

const listing = z.array(z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }));

type Item = z.infer<typeof listing>[number];

/** Which image of the archive: a name such as `debian:12`, or a position; may be left out where there is only one. */
export type ArchiveChoice = { name: string } | { index: number } | undefined;

interface LayerFile {
  name: string;
  diffId: string;
  mediaType: string;
  digest: string;
  size: number;
}

/**
 * An image in a docker archive. The archive has no manifest, so one is made: of the OCI kind, with the config byte for byte and the
 * layers as they lie in the archive. Equal archives give equal manifests.
 * @param path of the tar, which may be compressed
 * @throws NotFoundError, FormatError; BridgeError `AMBIGUOUS_IMAGE`, `LAYER_CHAIN`
 */
export async function openDockerArchive(path: string, choice?: ArchiveChoice, signal?: AbortSignal): Promise<ImageSource> {
  const files = await ArchiveFiles.open(path, signal);
  try {
    const item = choose(readListing(files), choice, path);
    const config = readConfig(files, item.Config);
    const layers = await layerFiles(files, item, parseConfig(config).rootfs.diff_ids, signal);
    return {
      manifest: makeManifest(config, layers),
      config,
      layers: layers.map((layer) => ({
        diffId: layer.diffId,
        size: layer.mediaType === LAYER_TYPES.none ? layer.size : undefined,
        open: async () => tarBlob(open(files, layer.name), layer),
      })),
      trusted: true,
      parallelLayers: PARALLEL_LAYERS,
      [Symbol.asyncDispose]: async () => files[Symbol.dispose](),
    };
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

function readListing(files: ArchiveFiles): Item[] {
  using file = files.open('manifest.json');
  if (file === undefined) throw new NotFoundError(`${files.shown} is no docker archive: it has no manifest.json`);
  const bytes = file.read(JSON_LIMIT);
  try {
    return listing.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new FormatError('MANIFEST_INVALID', `${files.shown}: manifest.json is not that of a docker archive`, { cause });
  }
}

function choose(items: readonly Item[], choice: ArchiveChoice, path: string): Item {
  const names = items.slice(0, 20).map(({ RepoTags }, index) => RepoTags?.[0] ?? `@${index}`).join(', ');
  if (choice === undefined) {
    const [only] = items;
    if (only === undefined) throw new NotFoundError(`${path} lists no image`);
    if (items.length === 1) return only;
    throw new BridgeError('AMBIGUOUS_IMAGE', `there is more than one image in ${path} (${names}); add a colon and a name, or a colon, @ and a position`);
  }
  if ('index' in choice) {
    const item = items[choice.index];
    if (item === undefined) throw new NotFoundError(`${path} has ${items.length} images, there is none at position ${choice.index}`);
    return item;
  }
  const wanted = dockerName(choice.name);
  const item = items.find(({ RepoTags }) => RepoTags?.some((tag) => dockerName(tag) === wanted));
  if (item === undefined) throw new NotFoundError(`${path} has no image "${choice.name}", only ${names}`);
  return item;
}

function readConfig(files: ArchiveFiles, name: string): Buffer {
  using file = open(files, name);
  return file.read(JSON_LIMIT);
}

async function layerFiles(files: ArchiveFiles, { Layers }: Item, diffIds: readonly string[], signal: AbortSignal | undefined): Promise<LayerFile[]> {
  if (Layers.length !== diffIds.length) throw new BridgeError('LAYER_CHAIN', `manifest.json lists ${Layers.length} layers, the config ${diffIds.length}`);
  const layers: LayerFile[] = [];
  for (const [index, name] of Layers.entries()) {
    signal?.throwIfAborted();
    const diffId = diffIds[index] as string;
    using file = open(files, name);
    const compression = detectCompression(file.head(MAGIC_LENGTH));
    const { size } = file;
    layers.push({ name, diffId, mediaType: LAYER_TYPES[compression], digest: compression === 'none' ? diffId : await digestOf(file), size });
  }
  return layers;
}

function open(files: ArchiveFiles, name: string): ImageFile {
  const file = files.open(bytesOf(name));
  if (file === undefined) throw new NotFoundError(`${files.shown} lists the file ${JSON.stringify(name)} but does not hold it`);
  return file;
}

async function digestOf(file: ImageFile): Promise<string> {
  const hash = createHash('sha256');
  await using source = file.source();
  for await (const piece of source) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
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
