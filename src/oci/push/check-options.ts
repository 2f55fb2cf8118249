import { compressionLevels } from '../../compress/compress.js';
import { BridgeError } from '../../errors.js';
import type { RepositoryImage } from '../image/image.js';
import type { Destination } from './destination/destination.js';
import type { PushOptions } from './types.js';

/**
 * What cannot be done is said before anything is done.
 * @param to when it is open already
 */
export function checkPushOptions(
  { compression, compressionLevel, referrers }: PushOptions,
  to?: Destination,
  image?: RepositoryImage,
): void {
  if (compressionLevel !== undefined) {
    const levels = compression === undefined ? undefined : compressionLevels(compression);
    if (levels === undefined)
      throw new BridgeError('COMPRESSION_LEVEL', 'a compression level goes with a compression, gzip or zstd');
    if (compressionLevel < levels.least || compressionLevel > levels.most)
      throw new BridgeError(
        'COMPRESSION_LEVEL',
        `${compression} has the levels ${levels.least} to ${levels.most}, not ${compressionLevel}`,
      );
  }
  if (to === undefined) return;
  if (to.plainLayers && compression !== undefined && compression !== 'none')
    throw new BridgeError(
      'COMPRESSION_PLAIN',
      `layers of this destination are plain tars; ${compression} cannot be had there`,
    );
  if (referrers === true && to.putReferrer === undefined)
    throw new BridgeError('NO_REFERRERS', 'this destination has no place for what refers to an image');
  if (to.plainLayers && image?.config === undefined)
    throw new BridgeError('NOT_AN_IMAGE', 'this destination takes container images only, and this is an artifact');
}
