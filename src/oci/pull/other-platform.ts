import { hostPlatform, platformRank, showPlatform, type Platform } from '../../spec/platform.js';
import type { ImageConfig } from '../../spec/manifest.js';
import type { PullEvent, PullOptions } from './types.js';

/** Tells of an image that is for another platform: a single one is taken, whatever it is for. */
export function reportOtherPlatform(
  { os, architecture, variant }: ImageConfig,
  { platform: wanted = hostPlatform(), onEvent }: PullOptions,
): void {
  const image: Platform = { os, architecture, variant };
  if (platformRank(image, wanted) === undefined) onEvent?.({ kind: 'platform', image, wanted });
}

/** The event in words. */
export function describeOtherPlatform({ image, wanted }: PullEvent & { kind: 'platform' }): string {
  return `the image is for ${showPlatform(image)}, not for ${showPlatform(wanted)}`;
}
