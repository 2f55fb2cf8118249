// The platforms that images are for, as `os/architecture/variant`.
import { endianness } from 'node:os';

/** What an image was made for. Empty text: the image does not say. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

/** What Node calls processors, where images call them something else. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: endianness() === 'LE' ? 'ppc64le' : 'ppc64',
  loong64: 'loong64',
  mipsel: 'mipsle',
};

/** What builders write who take the kernel's names for those of Go. */
const OTHER_NAMES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  i386: { architecture: '386' },
  i686: { architecture: '386' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
};

/** Variants to prefer, best first, when the wanted platform names none; '' stands for an image that names none. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  arm: ['v7', 'v6', 'v5', ''],
  arm64: ['v8', ''],
  amd64: ['', 'v1'],
};

/** Worse than every platform that suits: nobody said that the image does not. */
const UNSAID = 1000;

/** The platform this program runs on. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

/** Reads `OS/ARCH[/VARIANT]`. @returns undefined for other text */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = /^([\w.-]+)\/([\w.-]+)(?:\/([\w.-]+))?$/.exec(text) ?? [];
  if (os === undefined || architecture === undefined) return undefined;
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** Whether anything is said. */
export function isSaid({ os, architecture }: Platform): boolean {
  return os !== '' || architecture !== '';
}

/**
 * How well an image's platform suits the wanted one. What an image does not say is no reason against it, only against
 * preferring it.
 * @returns 0 for the best, higher numbers for worse, undefined when it cannot be used
 */
export function platformRank(said: Platform, asked: Platform): number | undefined {
  const [image, wanted] = [usual(said), usual(asked)];
  if (image.os !== '' && image.os !== wanted.os) return undefined;
  if (image.architecture === '') return UNSAID;
  if (image.architecture !== wanted.architecture) return undefined;
  const variants = wanted.variant ? [wanted.variant, ''] : (VARIANTS[wanted.architecture] ?? ['']);
  const rank = variants.indexOf(image.variant ?? '');
  if (rank >= 0) return rank;
  // What this processor can run beyond its architecture's base is not known here: better than no image.
  return wanted.variant ? undefined : variants.length;
}

function usual(platform: Platform): Platform {
  const other = Object.hasOwn(OTHER_NAMES, platform.architecture) ? OTHER_NAMES[platform.architecture] : undefined;
  return other === undefined
    ? platform
    : { ...platform, ...other, ...(platform.variant ? { variant: platform.variant } : {}) };
}

/** As `linux/arm64/v8`. */
export function showPlatform({ os, architecture, variant }: Platform): string {
  return `${os || 'unknown'}/${architecture || 'unknown'}${variant ? `/${variant}` : ''}`;
}
