import { BridgeError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { configContentId, configRefName, manifestContentId } from '../../repository/names.js';
import { imageRefs } from '../image/refs.js';
import { putJsonStream, readJsonStream } from '../image/json-stream.js';
import { parseImage } from '../../spec/image.js';
import { digestLike } from '../../spec/manifest.js';

export interface ImageToWrite {
  /** exactly as published */
  manifest: Buffer;
  /** exactly as published */
  config: Buffer;
  /** layer streams by diff_id; by blob digest for an artifact */
  layers: ReadonlyMap<string, ObjectId>;
  /** EROFS images by `imageRefName` */
  images: ReadonlyMap<string, ObjectId>;
  /** streams of blobs that are kept beside the layers made of them, by their digests */
  blobs?: ReadonlyMap<string, ObjectId>;
}

export interface WrittenImage {
  manifestDigest: string;
  configDigest: string;
  /** the splitstreams' objects */
  manifestStream: ObjectId;
  configStream: ObjectId;
}

/**
 * Stores manifest and config of an image whose layers and EROFS images are in the repository already, and names both
 * streams. Streams that say the same already stay as they are, whoever wrote them: another stream for the same
 * config would leave the manifests that share it behind. No tag is made.
 *
 * @throws FormatError for JSON that is not what it should be, DigestMismatchError when the config is not the
 *   manifest's, BridgeError `LAYER_MISSING`
 */
export async function writeImage(repository: Repository, image: ImageToWrite): Promise<WrittenImage> {
  const { manifest, config } = parseImage(image.manifest, image.config);
  const configDigest = manifest.config.digest;
  const manifestDigest = digestLike('sha256:', image.manifest);

  const layers = layerRefs(image, config?.rootfs.diff_ids ?? manifest.layers.map(({ digest }) => digest));
  const configName = configContentId(configDigest);
  const configStream = await putOnce(repository, configName, CONTENT_TYPES.config, image.config, (present) => {
    // Images of another kind, made by others or earlier, stay known as long as they were made of the same layers.
    const sameLayers = [...layers].every(([diffId, id]) => present.get(diffId) === id);
    return new Map([...layers, ...imageRefs(new Map([...(sameLayers ? imageRefs(present) : []), ...image.images]))]);
  });

  const manifestName = manifestContentId(manifestDigest);
  const manifestStream = await putOnce(
    repository,
    manifestName,
    CONTENT_TYPES.manifest,
    image.manifest,
    // Blobs that an earlier pull was to keep stay.
    (present) => {
      const kept = manifest.layers.flatMap(({ digest }): [string, ObjectId][] => {
        const stream = image.blobs?.get(digest) ?? present.get(digest);
        return stream === undefined ? [] : [[digest, stream]];
      });
      return new Map([[configRefName(configDigest), configStream], ...kept, ...layers]);
    },
  );

  await repository.linkStreams([
    [configName, configStream],
    [manifestName, manifestStream],
  ]);
  return { manifestDigest, configDigest, manifestStream, configStream };
}

function layerRefs(image: ImageToWrite, digests: readonly string[]): Map<string, ObjectId> {
  return new Map(
    digests.map((digest) => {
      const stream = image.layers.get(digest);
      if (stream === undefined) throw new BridgeError('LAYER_MISSING', `layer ${digest} of the image was not imported`);
      return [digest, stream];
    }),
  );
}

/** The named stream when it holds these bytes and references, otherwise a new one. */
async function putOnce(
  repository: Repository,
  contentId: string,
  contentType: bigint,
  bytes: Buffer,
  refs: (present: ReadonlyMap<string, ObjectId>) => Map<string, ObjectId>,
): Promise<ObjectId> {
  const present = await readPresent(repository, contentId, contentType, bytes);
  const wanted = refs(present?.namedRefs ?? new Map());
  if (present !== undefined && sameRefs(present.namedRefs, wanted)) return present.stream;
  return putJsonStream(repository, contentType, bytes, wanted);
}

async function readPresent(
  repository: Repository,
  contentId: string,
  contentType: bigint,
  bytes: Buffer,
): Promise<{ stream: ObjectId; namedRefs: ReadonlyMap<string, ObjectId> } | undefined> {
  const stream = repository.streamObject(contentId);
  if (stream === undefined) return undefined;
  try {
    const present = await readJsonStream(repository, stream, contentType);
    return present.bytes.equals(bytes) ? present : undefined;
  } catch (error) {
    // A damaged stream is as good as none: it is written anew.
    if (error instanceof BridgeError) return undefined;
    throw error;
  }
}

function sameRefs(a: ReadonlyMap<string, ObjectId>, b: ReadonlyMap<string, ObjectId>): boolean {
  return a.size === b.size && [...a].every(([name, id]) => b.get(name) === id);
}
