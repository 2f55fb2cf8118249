// The manifest that goes out: the pulled one, byte for byte, or one like it where layers are other blobs now.
import type { Compression } from '../../compress/decompress.js';
import {
  digestLike,
  MEDIA_TYPES,
  parseManifest,
  type Descriptor,
  type Manifest,
  type BlobFacts,
} from '../../spec/manifest.js';

export interface OutgoingManifest {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

/** Of what kind a manifest has to be: OCI's, or any. */
export type ManifestKind = 'oci' | 'any';

/** A layer's blob where it is another one than the manifest says. */
export interface NewLayer extends BlobFacts {
  compression: Compression;
}

/** Notes of those who wrote the blob about what is in it; of another blob they are wrong. */
const ABOUT_THE_BLOB =
  /^io\.github\.containers\.zstd-chunked\.|^io\.containers\.estargz\.|^containerd\.io\/snapshot\/stargz\//;

const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';

/** How a layer is compressed, going by its type; undefined where that does not say. */
export function compressionOf(mediaType: string): Compression | undefined {
  const [, compression] = /\.tar(?:[.+](gzip|zstd))?$/.exec(mediaType) ?? [];
  return compression === undefined && !mediaType.endsWith('.tar')
    ? undefined
    : ((compression ?? 'none') as Compression);
}

/** The media type of a manifest's bytes. */
function manifestType({ mediaType, config }: Manifest): string {
  return (
    mediaType ?? (config.mediaType === MEDIA_TYPES.dockerConfig ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.manifest)
  );
}

/**
 * @param layers in the manifest's order; undefined for those that stay
 */
export function outgoingManifest(
  bytes: Buffer,
  digest: string,
  layers: readonly (NewLayer | undefined)[],
  kind: ManifestKind,
): OutgoingManifest {
  const manifest = parseManifest(bytes);
  const mediaType = manifestType(manifest);
  const isDocker = mediaType === MEDIA_TYPES.dockerManifest;
  // docker's manifests know no zstd.
  const toOci = isDocker && (kind === 'oci' || layers.some((layer) => layer?.compression === 'zstd'));
  if (!toOci && layers.every((layer) => layer === undefined)) return { bytes, mediaType, digest };
  const docker = isDocker && !toOci;
  const json = JSON.parse(bytes.toString('utf8')) as Manifest;
  const changed = {
    ...json,
    mediaType: docker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.manifest,
    config: toOci ? { ...json.config, mediaType: MEDIA_TYPES.config } : json.config,
    layers: manifest.layers.map((layer, index) => {
      const original = json.layers[index] as Descriptor;
      const fresh = layers[index];
      if (fresh !== undefined) return newDescriptor(original, fresh, docker);
      return toOci ? { ...original, mediaType: layerType(compressionOf(layer.mediaType) ?? 'gzip', false) } : original;
    }),
  };
  const text = Buffer.from(JSON.stringify(changed));
  return { bytes: text, mediaType: changed.mediaType, digest: digestLike('sha256:', text) };
}

function newDescriptor(original: Descriptor, { digest, size, compression }: NewLayer, docker: boolean): Descriptor {
  // Where the old blob can be had does not matter for the new one.
  const { urls: _, annotations, ...rest } = original;
  const kept = Object.entries(annotations ?? {}).filter(([name]) => !ABOUT_THE_BLOB.test(name));
  return {
    ...rest,
    mediaType: layerType(compression, docker),
    digest,
    size,
    ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }),
  };
}

function layerType(compression: Compression, docker: boolean): string {
  if (compression === 'none') return docker ? DOCKER_LAYER : OCI_LAYER;
  return docker ? `${DOCKER_LAYER}.${compression}` : `${OCI_LAYER}+${compression}`;
}
