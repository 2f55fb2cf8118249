// skopeo's `dir:`: `version`, `manifest.json`, and blobs named by their digest.
import { constants, existsSync } from 'node:fs';
import { bytesOf } from '../../../bytes.js';
import { BridgeError } from '../../../errors.js';
import { openBelievedDirectory } from '../../../fd/believed-path.js';
import { isErrno, openBeneath } from '../../../fd/fd.js';
import { readSmallFile } from '../../../fd/read-file.js';
import { DIR_VERSION_LIMIT } from '../../../limits.js';
import { listDirectory } from '../../../repository/links.js';
import type { OutgoingBlob } from '../outgoing-blob.js';
import type { BlobOutcome } from '../types.js';
import { BlobFolder } from './blob-folder.js';
import type { BlobWatch, Destination, FinishedImage } from './destination.js';
import { StagedPath } from './staged-path.js';

const VERSION = 'Directory Transport Version: 1.1\n';

/**
 * A folder for one image; one that has an image already is replaced.
 * @throws BridgeError `DESTINATION_EXISTS` when there is something else
 */
export function dirDestination(path: string): Destination {
  checkReplaceable(path);
  return new DirDestination(new StagedPath(path));
}

class DirDestination implements Destination {
  readonly manifests = 'any';
  readonly plainLayers = false;
  readonly #staged: StagedPath;
  readonly #blobs: BlobFolder;

  constructor(staged: StagedPath) {
    this.#staged = staged;
    this.#blobs = new BlobFolder(staged.folder, (digest) => bytesOf(digest.replace(/^sha256:/, '').replace(':', '-')));
  }

  async takeOver(): Promise<undefined> {
    return undefined;
  }

  async putBlob(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome> {
    return this.#blobs.put(blob, watch, signal);
  }

  async putImage({ manifest }: FinishedImage): Promise<void> {
    await this.#blobs.writeFile('version', VERSION);
    await this.#blobs.writeFile('manifest.json', manifest.bytes);
    await this.#staged.takeName();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#staged[Symbol.dispose]();
  }
}

/** What was not made by this transport is nobody's to remove. */
function checkReplaceable(path: string): void {
  if (!existsSync(path)) return;
  try {
    using folder = openBelievedDirectory(bytesOf(path));
    if (listDirectory(folder, '').length === 0) return;
    using file = openBeneath(folder, 'version', constants.O_RDONLY | constants.O_NONBLOCK);
    if (readSmallFile(file, DIR_VERSION_LIMIT).toString('latin1') === VERSION) return;
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
  }
  throw new BridgeError('DESTINATION_EXISTS', `${path} is there and is no image of dir: version 1.1; remove it first`);
}
