// Names in a delta: an artifact that makes one image out of another, as github.com/containers/oci-delta defines it.
import type { Manifest } from './manifest.js';

export const DELTA_TYPE = 'application/vnd.io.github.containers.oci-delta.v1';
/** What programs of early 2026 wrote; the artifact is the same. */
const EARLIER_TYPE = 'application/vnd.redhat.oci-delta.v1';
/** The type of a blob that is a patch, see `layer/tar-diff-format.ts`. */
export const PATCH_TYPE = 'application/vnd.tar-diff';

const PREFIX = 'io.github.containers.delta';

export const DELTA_ANNOTATION = {
  /** of the artifact: the digest of the config of the image that is changed */
  sourceConfig: `${PREFIX}.source-config`,
  /** digests of both manifests; nobody needs them */
  source: `${PREFIX}.source`,
  target: `${PREFIX}.target`,
  /** layers that are in both images, as a list in JSON: digests as the manifest has them, and diff_ids */
  reused: `${PREFIX}.reused`,
  reusedDiffId: `${PREFIX}.reused-diff-id`,
  /** of a blob: what it is, one of `DELTA_CONTENT` */
  content: `${PREFIX}.content`,
  /** of a layer: the digest of the layer in the new image's manifest */
  to: `${PREFIX}.to`,
} as const;

export const DELTA_CONTENT = {
  manifest: 'image-manifest',
  config: 'image-config',
  /** a patch, or a whole layer */
  layer: 'image-layer',
  /** a manifest whose layers are signed statements about the new image's manifest */
  signature: 'cosign-signature',
  /** a blob of such a manifest */
  signatureContent: 'cosign-signature-content',
} as const;

/** Whether an artifact is a delta. */
export function isDelta({ artifactType }: Pick<Manifest, 'artifactType'>): boolean {
  return artifactType === DELTA_TYPE || artifactType === EARLIER_TYPE;
}
