import type { ByteString } from '../bytes.js';
import { loadNative, type FdNumber } from '../native.js';
import type { Fd } from './fd.js';

const native = loadNative<{
  listXattrs(fd: FdNumber): ByteString[];
  getXattr(fd: FdNumber, name: ByteString): Buffer | undefined;
  setXattr(fd: FdNumber, name: ByteString, value: Uint8Array): void;
}>();

/**
 * All extended attributes of an open file, or of a symlink that was opened with O_PATH, by their names; none where the
 * file system has none.
 */
export function listXattrs(fd: Fd): Map<ByteString, ByteString> {
  const list = native.listXattrs(fd.number);
  const xattrs = new Map<ByteString, ByteString>();
  for (let i = 0; i < list.length; i += 2) xattrs.set(list[i]!, list[i + 1]!);
  return xattrs;
}

/** One of them; undefined when the file does not have it. */
export function getXattr(fd: Fd, name: ByteString): Buffer | undefined {
  return native.getXattr(fd.number, name);
}

/** Gives a file one. @throws an error with `code` where the file system, or the kernel for a symlink, does not take it */
export function setXattr(fd: Fd, name: ByteString, value: Buffer): void {
  native.setXattr(fd.number, name, value);
}
