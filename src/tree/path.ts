import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { NAME_LIMIT } from '../limits.js';
import { DEPTH_MAX } from './tree.js';

/**
 * Splits a tar path into names. A leading `/`, doubled slashes and `.` mean nothing.
 * @param entry what the path belongs to, for the error
 * @throws FormatError LAYER_PATH: `..` would leave the image's root in naive consumers, and no file system takes the
 *   others
 */
export function splitPath(path: ByteString, entry: { path: ByteString; offset: number }): ByteString[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (const name of names) checkName(name, entry);
  if (names.length > DEPTH_MAX) throw bad(`${names.length} nested names`, entry);
  return names;
}

/** Checks one name of a path, which is not empty and has no `/`. @throws as splitPath */
export function checkName(name: ByteString, entry: { path: ByteString; offset: number }): void {
  if (name === '..') throw bad('".."', entry);
  if (name.length > NAME_LIMIT) throw bad(`a name of ${name.length} bytes`, entry);
  if (name.includes('\0')) throw bad('a NUL byte', entry);
}

function bad(problem: string, entry: { path: ByteString; offset: number }): FormatError {
  return new FormatError('LAYER_PATH', `${problem} in a path`, {
    place: { entry: showBytes(entry.path.slice(0, 300)), offset: entry.offset },
  });
}
