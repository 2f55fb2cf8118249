export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFDIR = 0o040000;

/** Whether a mode has that type and else only permission bits. */
export function isOfType(mode: number, type: number): boolean {
  return (mode & ~0o7777) === type;
}
