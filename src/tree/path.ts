import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { DEPTH_MAX, NAME_MAX } from './tree.js';

/**
 * Splits a tar path into names. A leading `/`, doubled slashes and `.` mean nothing.
 * @param entry what the path belongs to, for the error
 * @throws FormatError LAYER_PATH: `..` would leave the image's root in naive consumers, and no file system takes the others
 */
export function splitPath(path: ByteString, entry: { path: ByteString; offset: number }): ByteString[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const problem = pathProblem(names);
  if (problem !== null) {
    throw new FormatError('LAYER_PATH', `${problem} in a path`, {
      place: { entry: showBytes(entry.path.slice(0, 300)), offset: entry.offset },
    });
  }
  return names;
}

function pathProblem(names: readonly ByteString[]): string | null {
  for (const name of names) {
    if (name === '..') return '".."';
    if (name.length > NAME_MAX) return `a name of ${name.length} bytes`;
    if (name.includes('\0')) return 'a NUL byte';
  }
  return names.length > DEPTH_MAX ? `${names.length} nested names` : null;
}
