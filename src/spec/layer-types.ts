// What the media types of an image's layers say.

/** Where a layer of this type is to be expected: `foreign` ones are often left where they came from. */
export type LayerKind = 'ordinary' | 'foreign';

const OCI = 'application/vnd.oci.image.layer';
const DOCKER = 'application/vnd.docker.image.rootfs';

const KINDS: ReadonlyMap<string, LayerKind> = new Map([
  ...['tar', 'tar+gzip', 'tar+zstd'].flatMap((format): [string, LayerKind][] => [
    [`${OCI}.v1.${format}`, 'ordinary'],
    [`${OCI}.nondistributable.v1.${format}`, 'foreign'],
  ]),
  ...['tar', 'tar.gzip', 'tar.zstd'].flatMap((format): [string, LayerKind][] => [
    [`${DOCKER}.diff.${format}`, 'ordinary'],
    [`${DOCKER}.foreign.diff.${format}`, 'foreign'],
  ]),
]);

/** Layers of the images that are made here for a docker-archive, by how their tar is compressed. */
export const LAYER_TYPES = { none: `${OCI}.v1.tar`, gzip: `${OCI}.v1.tar+gzip`, zstd: `${OCI}.v1.tar+zstd` } as const;

/** What a layer's media type says, or undefined when it is not that of a file system layer. */
export function layerKind(mediaType: string): LayerKind | undefined {
  return KINDS.get(mediaType);
}
