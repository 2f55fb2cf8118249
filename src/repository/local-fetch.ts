import { debug } from '../debug.js';
import type { TakePolicy } from './take-policy.js';

/**
 * How files of a store on this machine get into the repository. `auto`: reflink, else hardlink, else copy. `reflink`:
 * reflink, else copy, never a shared inode. `zerocopy`: reflink or hardlink, or fail. `disabled`: always copy.
 */
export const LOCAL_FETCH = ['auto', 'reflink', 'zerocopy', 'disabled'] as const;
export type LocalFetch = (typeof LOCAL_FETCH)[number];

/** How the content of a layer is taken, and from whom. */
export interface LayerPolicy {
  take: TakePolicy;
  /** see ImageSource */
  trusted: boolean;
  /** see ImageSource */
  silenceLimit?: number | undefined;
}

interface Circumstances extends Omit<LayerPolicy, 'take'> {
  /** the repository takes objects with fs-verity only */
  verityRequired: boolean;
  sealSource: boolean;
}

/**
 * A hardlinked object is the store's own file: with fs-verity on it, podman could no longer change it, and whoever can
 * write to the store can change the object. So where fs-verity is required the store's file is only linked when its
 * owner agreed to the sealing. Files of somebody who is not trusted are never linked: they are copied as those are that
 * their owner or mode forbids to link.
 */
export function takePolicy(
  localFetch: LocalFetch,
  { trusted, verityRequired, sealSource, silenceLimit }: Circumstances,
): LayerPolicy {
  if (localFetch !== 'disabled')
    debug(
      () =>
        `sharing: local fetch ${localFetch}: ` +
        `${whyNoHardlinks(localFetch, { trusted, verityRequired, sealSource }) ?? 'reflink, else hardlink'}`,
    );
  return { take: takeOf(localFetch, !trusted || !verityRequired || sealSource, sealSource), trusted, silenceLimit };
}

function takeOf(localFetch: LocalFetch, mayLink: boolean, sealSource: boolean): TakePolicy {
  if (localFetch === 'disabled') return 'copy';
  if (localFetch === 'reflink') return 'reflink';
  const link = !mayLink ? 'reflink' : sealSource ? 'link-sealed' : 'link';
  return localFetch === 'zerocopy' ? `${link}-only` : link;
}

function whyNoHardlinks(
  localFetch: LocalFetch,
  { trusted, verityRequired, sealSource }: Circumstances,
): string | undefined {
  if (localFetch === 'reflink') return 'reflink; no hardlink, by choice';
  if (!trusted) return 'reflink; no hardlink, since others than root and this user may write to the source';
  if (verityRequired && !sealSource)
    return 'reflink; no hardlink, since the repository requires fs-verity and the source is not to be sealed';
  return undefined;
}
