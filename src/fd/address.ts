import { constants } from 'node:fs';
import { basename, dirname } from 'node:path';
import { bytesOf, type ByteString } from '../bytes.js';
import { O_PATH, openPath } from './fd.js';

/** `sun_path` holds 108 bytes with the final NUL. */
const MAX_SUN_PATH = 107;

/**
 * Calls `use` with a form of `path` that fits into a socket address. Longer paths go through the open parent
 * directory in /proc.
 */
export function withSocketAddress<T>(path: string, use: (address: ByteString) => T): T {
  const bytes = bytesOf(path);
  if (bytes.length === 0) throw new TypeError('the path of the socket is empty');
  if (bytes.length <= MAX_SUN_PATH) return use(bytes);
  using parent = openPath(bytesOf(dirname(path)), constants.O_DIRECTORY | O_PATH);
  return use(`/proc/self/fd/${parent.number}/${bytesOf(basename(path))}`);
}
