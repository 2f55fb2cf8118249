import { endianness } from 'node:os';
import type { Platform } from '../manifest.js';

/** What Node calls processors, where images call them something else. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: endianness() === 'LE' ? 'ppc64le' : 'ppc64', loong64: 'loong64' };

/** Variants to prefer, best first, when the wanted platform names none; '' stands for an image that names none. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = { arm: ['v7', 'v6', 'v5', ''], arm64: ['v8', ''], amd64: ['', 'v1'] };

/** The platform this program runs on. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

/**
 * How well an image's platform suits the wanted one.
 * @returns 0 for the best, higher numbers for worse, undefined when it cannot be used
 */
export function platformRank(image: Platform, wanted: Platform): number | undefined {
  if (image.os !== wanted.os || image.architecture !== wanted.architecture) return undefined;
  const variants = wanted.variant ? [wanted.variant, ''] : (VARIANTS[wanted.architecture] ?? ['']);
  const rank = variants.indexOf(image.variant ?? '');
  if (rank >= 0) return rank;
  // What this processor can run beyond its architecture's base is not known here: better than no image.
  return wanted.variant ? undefined : variants.length;
}

/** As `linux/arm64/v8`. */
export function showPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant ? `/${variant}` : ''}`;
}
