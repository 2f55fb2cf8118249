import { bytesOf } from '../bytes.js';
import { makeBelievedDirectory } from '../fd/believed-path.js';
import { ObjectStore } from '../repository/objects.js';
import { CommandFailure, errorText } from './command-failure.js';

/**
 * Opens the folder mkcomposefs puts content into, `DIR/xx/rest`; it and its parents are made when they are missing.
 * @throws CommandFailure
 */
export function openDigestStore(path: string): ObjectStore {
  try {
    return new ObjectStore(makeBelievedDirectory(bytesOf(path), 0o777), 'sha256', false);
  } catch (error) {
    throw new CommandFailure(`cannot fill store: ${errorText(error)}`);
  }
}
