import { constants } from 'node:fs';
import { bytesOf, type ByteString } from '../../bytes.js';
import { isErrno, openPath, type Fd } from '../../fd/fd.js';
import { files } from '../../native.js';
import { CommandFailure, errorText } from '../command-failure.js';

/** The payloads that are not below a folder. */
export function missingBelow(folder: Fd, payloads: ReadonlySet<ByteString>): ByteString[] {
  return [...payloads].filter((payload) => !exists(folder, payload));
}

/**
 * Opens the folder that payloads are looked for in.
 * @throws CommandFailure
 */
export function openBasedir(path: string): Fd {
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
