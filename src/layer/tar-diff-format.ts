// tar-diff: what makes one layer's tar of files of another image. Eight bytes say which version it is, then operations
// follow, compressed with zstd: a byte that says which, a number, and for some of them so many bytes. The format is
// that of github.com/containers/tar-diff, file-format.md.

/** `tardf2` may have an operation more. */
export type TarDiffVersion = 1 | 2;

export const TAR_DIFF_HEADER_LENGTH = 8;

/** The first bytes of a patch, uncompressed. */
export function tarDiffHeader(version: TarDiffVersion): Buffer {
  return Buffer.from(`tardf${version}\n\0`, 'latin1');
}

export const TAR_DIFF_OPERATION = {
  /** bytes of the tar */
  data: 0,
  /** the name of the file that the following operations read, from its start */
  open: 1,
  /** so many bytes of the file where it stands */
  copy: 2,
  /** bytes, each to be added to one of the file where it stands */
  addData: 3,
  /** where the file is read next */
  seek: 4,
  /** a zstd frame that has the whole file as its dictionary; afterwards the file stands at its end. Version 2 only */
  zstdDict: 5,
} as const;

/** Longest name of a file, in bytes. */
export const TAR_DIFF_NAME_MAX = 4096;
/** Largest window of a frame that has a dictionary, and largest dictionary, as powers of two. */
export const TAR_DIFF_WINDOW_LOG = 29;
