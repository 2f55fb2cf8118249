/** What the addon is told, see `native/store/object_store.h`. */
export interface Taking {
  /** false: digests are computed and nothing is written */
  store: boolean;
  reflink: boolean;
  /**
   * share the source's inode where extents cannot be shared and its owner and mode allow it, see
   * `native/hash/sharing.h`
   */
  hardlink: boolean;
  /**
   * false: a file that can be shared neither way is an error; one whose owner or mode alone forbids the link is copied
   * all the same
   */
  copy: boolean;
  /** fs-verity may be enabled on a hardlinked source, which makes it immutable for its owner */
  sealSource: boolean;
  /**
   * nobody who can write to the sources wants to deceive us; otherwise content is only hashed where nobody else can
   * change it
   */
  trusted: boolean;
}

const POLICIES = {
  /** digests are computed and nothing is written */
  hash: { store: false, reflink: false, hardlink: false, copy: false, sealSource: false },
  /** always blocks of our own */
  copy: { store: true, reflink: false, hardlink: false, copy: true, sealSource: false },
  /** share blocks, or else copy; an inode of our own in any case */
  reflink: { store: true, reflink: true, hardlink: false, copy: true, sealSource: false },
  /** share blocks, or else the inode, or else copy */
  link: { store: true, reflink: true, hardlink: true, copy: true, sealSource: false },
  /** the same, and an inode that is shared may get fs-verity */
  'link-sealed': { store: true, reflink: true, hardlink: true, copy: true, sealSource: true },
  /** share blocks, or fail */
  'reflink-only': { store: true, reflink: true, hardlink: false, copy: false, sealSource: false },
  /** share blocks or the inode, or fail */
  'link-only': { store: true, reflink: true, hardlink: true, copy: false, sealSource: false },
  /** the same, and an inode that is shared may get fs-verity */
  'link-sealed-only': { store: true, reflink: true, hardlink: true, copy: false, sealSource: true },
} as const satisfies Readonly<Record<string, Omit<Taking, 'trusted'>>>;

/** How file content may get into the repository. */
export type TakePolicy = keyof typeof POLICIES;

export function takingOf(policy: TakePolicy, trusted: boolean): Taking {
  return { ...POLICIES[policy], trusted };
}
