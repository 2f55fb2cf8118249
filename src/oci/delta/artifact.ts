import { DELTA_ANNOTATION, DELTA_CONTENT, DELTA_TYPE, PATCH_TYPE } from '../../spec/delta.js';
import { digestLike, MEDIA_TYPES, type BlobFacts } from '../../spec/manifest.js';
import type { RepositoryImage } from '../image/image.js';
import type { OutgoingManifest } from '../push/outgoing-manifest.js';

/** The config of artifacts that have none. */
export const EMPTY_CONFIG = Buffer.from('{}');
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json';

/** A layer of the new image that is in the delta. */
export interface DeltaBlob extends BlobFacts {
  /** digest of the layer in the new image's manifest */
  to: string;
  /** undefined: it is a patch */
  mediaType: string | undefined;
}

export interface DeltaParts {
  from: RepositoryImage;
  to: RepositoryImage;
  layers: readonly DeltaBlob[];
  /** layers that are in both images */
  reused: readonly { digest: string; diffId: string }[];
}

/** The manifest of a delta, with its members in the order that other programs give them. */
export function deltaManifest({ from, to, layers, reused }: DeltaParts): OutgoingManifest {
  const target = {
    mediaType: to.manifest.mediaType ?? MEDIA_TYPES.manifest,
    digest: to.digest,
    size: to.manifestStream.bytes.length,
  };
  const json = {
    schemaVersion: 2,
    artifactType: DELTA_TYPE,
    config: { mediaType: EMPTY_TYPE, ...emptyConfigFacts() },
    layers: [
      { ...target, annotations: { [DELTA_ANNOTATION.content]: DELTA_CONTENT.manifest } },
      {
        mediaType: to.manifest.config.mediaType,
        digest: to.configStream.digest,
        size: to.configStream.bytes.length,
        annotations: { [DELTA_ANNOTATION.content]: DELTA_CONTENT.config },
      },
      ...layers.map(({ mediaType = PATCH_TYPE, digest, size, to: layer }) => ({
        mediaType,
        digest,
        size,
        annotations: { [DELTA_ANNOTATION.content]: DELTA_CONTENT.layer, [DELTA_ANNOTATION.to]: layer },
      })),
    ],
    subject: target,
    annotations: deltaAnnotations(from, to, reused),
  };
  const bytes = Buffer.from(JSON.stringify(json));
  return { bytes, mediaType: MEDIA_TYPES.manifest, digest: digestLike('sha256:', bytes) };
}

export function emptyConfigFacts(): BlobFacts {
  return { digest: digestLike('sha256:', EMPTY_CONFIG), size: EMPTY_CONFIG.length };
}

/** What is said of the delta where it is listed, too. */
export function deltaAnnotations(
  from: RepositoryImage,
  to: RepositoryImage,
  reused: DeltaParts['reused'],
): Record<string, string> {
  return {
    [DELTA_ANNOTATION.reused]: JSON.stringify(reused.map(({ digest }) => digest)),
    [DELTA_ANNOTATION.reusedDiffId]: JSON.stringify(reused.map(({ diffId }) => diffId)),
    [DELTA_ANNOTATION.source]: from.digest,
    [DELTA_ANNOTATION.sourceConfig]: from.configStream.digest,
    [DELTA_ANNOTATION.target]: to.digest,
  };
}
