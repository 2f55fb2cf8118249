import { constants } from 'node:fs';
import { bytesOf, type ByteString } from '../bytes.js';
import { isErrno, openPath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { CommandFailure, errorText } from './command-failure.js';

/**
 * The payloads that are no files below a folder.
 * @throws CommandFailure
 */
export function missingBelow(basedir: string, payloads: ReadonlySet<ByteString>): ByteString[] {
  using folder = openFolder(basedir);
  return [...payloads].filter((payload) => !exists(folder, payload));
}

function openFolder(path: string): Fd {
  try {
    return openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw new CommandFailure(`Can't open basedir \`${path}\`\n: ${errorText(error)}`);
  }
}

function exists(folder: Fd, payload: ByteString): boolean {
  try {
    files.fstatat(folder.number, payload);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) return false;
    throw error;
  }
}
