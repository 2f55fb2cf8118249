import {
  checkDigest,
  isContainerImage,
  parseConfig,
  parseManifest,
  type ImageConfig,
  type Manifest,
} from './manifest.js';

/** What a manifest and its config say together. */
export interface ImageDocuments {
  manifest: Manifest;
  /** undefined for an artifact, whose config may be anything */
  config: ImageConfig | undefined;
}

/**
 * Reads both documents of an image or artifact.
 * @throws FormatError `MANIFEST_INVALID`, `CONFIG_INVALID`; DigestMismatchError when the config is not the manifest's
 */
export function parseImage(manifestBytes: Uint8Array, configBytes: Uint8Array): ImageDocuments {
  const manifest = parseManifest(manifestBytes);
  checkDigest('config', manifest.config.digest, configBytes);
  return { manifest, config: isContainerImage(manifest, configBytes) ? parseConfig(configBytes) : undefined };
}
