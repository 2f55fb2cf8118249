import { BridgeError, DigestMismatchError } from '../../errors.js';
import { parseImage } from '../../spec/image.js';
import { digestLike } from '../../spec/manifest.js';
import { parseImageReference, storedNameOf } from '../../storage/reference.js';
import type { ImageSource, StoreExtras } from '../source/source.js';

/** What a store is told about an image. */
export interface ImageToStore {
  /** that it gets in the store */
  readonly id: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** as the store keeps them, each once */
  readonly names: readonly string[];
  readonly extras: StoreExtras | undefined;
}

/**
 * Checks that an image can come into a store, before anything of it is read.
 * @param names as people write them; default: those that it has in the store that it comes from
 * @throws BridgeError `NOT_AN_IMAGE`; FormatError `BAD_REFERENCE`; DigestMismatchError for a name with the digest of
 *   another image; what is wrong with manifest and config
 */
export function imageToStore(source: ImageSource, names: readonly string[] | undefined): ImageToStore {
  const { manifest, config } = parseImage(source.manifest, source.config);
  if (config === undefined)
    throw new BridgeError('NOT_AN_IMAGE', 'this is an artifact; a containers-storage gets container images only');
  const extras = source.extras?.();
  const manifestDigest = digestLike('sha256:', source.manifest);
  const digests = [manifestDigest, ...(extras?.lists ?? []).map((list) => digestLike('sha256:', list.manifest))];
  const { digest: configDigest } = manifest.config;
  return {
    id: configDigest.slice(configDigest.indexOf(':') + 1),
    manifestDigest,
    configDigest,
    names: [...new Set((names ?? extras?.names ?? []).map((name) => completeName(name, digests)))],
    extras,
  };
}

function completeName(name: string, digests: readonly string[]): string {
  const reference = parseImageReference(name);
  const { digest } = reference;
  if (digest !== undefined && !digests.includes(digest))
    throw new DigestMismatchError(`"${name}" names another image`, digest, digests[0] as string);
  return storedNameOf(reference);
}
