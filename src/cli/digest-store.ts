import { constants, mkdirSync } from 'node:fs';
import { bytesOf } from '../bytes.js';
import { openPath } from '../fd/fd.js';
import { ObjectStore } from '../repository/objects.js';
import { CommandFailure, errorText } from './command-failure.js';

/**
 * Opens the folder mkcomposefs puts content into, `DIR/xx/rest`; it and its parents are made when they are missing.
 * @throws CommandFailure
 */
export function openDigestStore(path: string): ObjectStore {
  try {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    return new ObjectStore(openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY), 'sha256', false);
  } catch (error) {
    throw new CommandFailure(`cannot fill store: ${errorText(error)}`);
  }
}
