import type { ByteString } from '../../bytes.js';
import { xxh32 } from './xxh32.js';

/** Prefixes that an image stores as a number. Format 2 also knows number 5, `lustre.`; readers know all of them. */
const PREFIXES: readonly (readonly [ByteString, number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['trusted.', 4],
  ['security.', 6],
];
const LUSTRE = ['lustre.', 5] as const;

const FILTER_SEED = 0x25bbe08f;

/** An xattr's name as an image stores it. */
export interface XattrName {
  full: ByteString;
  /** Number of the prefix, 0 for none. */
  index: number;
  suffix: ByteString;
  /** The bit of the inode's name filter that stands for this name (and others). */
  filterBit: number;
}

/** Splits a name by its prefix; `lustre` says whether number 5 is used. */
export function xattrName(full: ByteString, lustre: boolean): XattrName {
  const [prefix, index] =
    PREFIXES.find(([candidate]) => full.startsWith(candidate)) ??
    (lustre && full.startsWith(LUSTRE[0]) ? LUSTRE : (['', 0] as const));
  const suffix = full.slice(prefix.length);
  return { full, index, suffix, filterBit: xattrFilterBit(suffix, index) };
}

/** The bit of an inode's name filter that stands for a name. */
export function xattrFilterBit(suffix: ByteString, index: number): number {
  return 1 << (xxh32(suffix, FILTER_SEED + index) & 31);
}

/** The prefix behind a number in an image, or undefined for numbers without meaning. */
export function xattrPrefix(index: number): ByteString | undefined {
  if (index === 0) return '';
  if (index === LUSTRE[1]) return LUSTRE[0];
  return PREFIXES.find(([, candidate]) => candidate === index)?.[0];
}
