import type { ByteString } from '../bytes.js';

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo';

/** What one tar header (with the PAX or GNU records before it) says about one file. */
export interface TarEntry {
  /** The name as the archive spells it: absolute, `./`, `..` and doubled slashes included. */
  path: ByteString;
  type: EntryType;
  /** Permission bits, 0..07777. */
  mode: number;
  uid: number;
  gid: number;
  /** Content length in bytes; 0 for everything but files. */
  size: number;
  /** Seconds since 1970, negative before. */
  mtimeSec: bigint;
  /** 0..999999999 */
  mtimeNsec: number;
  /** When it was read last, where the archive says so; as the time above. Only stores keep it. */
  atime?: { sec: bigint; nsec: number };
  /** Target of a symlink, or the name a hardlink shares its inode with. */
  linkPath: ByteString;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<ByteString, ByteString>;
  /** Where the entry's first header block starts in the tar, in bytes. */
  offset: number;
}

/** Files of up to this many bytes live in the splitstream and the EROFS image; longer ones are objects. */
export const INLINE_LIMIT = 64;
