import type { TakePolicy } from '../../repository/objects.js';

/**
 * How files of a store on this machine get into the repository. `auto`: reflink, else hardlink, else copy. `reflink`: reflink, else
 * copy, never a shared inode. `zerocopy`: reflink or hardlink, or fail. `disabled`: always copy.
 */
export const LOCAL_FETCH = ['auto', 'reflink', 'zerocopy', 'disabled'] as const;
export type LocalFetch = (typeof LOCAL_FETCH)[number];

interface Circumstances {
  /** see TakePolicy */
  trusted: boolean;
  /** the repository takes objects with fs-verity only */
  verityRequired: boolean;
  sealSource: boolean;
}

/**
 * A hardlinked object is the store's own file: with fs-verity on it, podman could no longer change it, and whoever can write to the
 * store can change the object. So where fs-verity is required the store's file is only linked when its owner agreed to the
 * sealing, and files of somebody who is not trusted are never linked.
 */
export function takePolicy(localFetch: LocalFetch, { trusted, verityRequired, sealSource }: Circumstances): TakePolicy {
  const share = localFetch === 'auto' || localFetch === 'zerocopy';
  return {
    store: true,
    reflink: localFetch !== 'disabled',
    hardlink: share && trusted && (!verityRequired || sealSource),
    copy: localFetch !== 'zerocopy',
    sealSource,
    trusted,
  };
}
