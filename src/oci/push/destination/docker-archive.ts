// What `docker load` reads: a tar with a config, the layers' tars, and a `manifest.json` of docker's own.
import { statSync } from 'node:fs';
import { bytesOf } from '../../../bytes.js';
import { BridgeError } from '../../../errors.js';
import { parseRegistryReference, showReference } from '../../../spec/reference.js';
import { splitPath } from '../../source/split-path.js';
import type { OutgoingBlob } from '../outgoing-blob.js';
import type { BlobOutcome } from '../types.js';
import { BlobFolder } from './blob-folder.js';
import type { BlobWatch, Destination, FinishedImage } from './destination.js';
import { StagedPath } from './staged-path.js';
import { writeTar } from './write-tar.js';

/**
 * @param place the archive's path, and the name of the image in it
 * @throws BridgeError `DESTINATION_EXISTS`: as with skopeo, none is changed
 */
export function dockerArchiveDestination(place: string): Destination {
  const { path, name } = splitPath(place);
  const tag = name === undefined ? undefined : showReference(parseRegistryReference(name));
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0)
    throw new BridgeError('DESTINATION_EXISTS', `${path} is there; docker-archive: makes new archives only`);
  return new DockerArchiveDestination(new StagedPath(path), tag);
}

const hexOf = (digest: string): string => digest.slice(digest.indexOf(':') + 1);

class DockerArchiveDestination implements Destination {
  readonly manifests = 'any';
  readonly plainLayers = true;
  readonly #staged: StagedPath;
  readonly #tag: string | undefined;
  readonly #blobs: BlobFolder;

  constructor(staged: StagedPath, tag: string | undefined) {
    this.#staged = staged;
    this.#tag = tag;
    this.#blobs = new BlobFolder(staged.folder, (digest) => bytesOf(`${hexOf(digest)}.tar`));
  }

  async takeOver(): Promise<undefined> {
    return undefined;
  }

  async putBlob(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome> {
    return this.#blobs.put(blob, watch, signal);
  }

  async putImage({ manifest: _, config, configDigest, diffIds }: FinishedImage, signal: AbortSignal): Promise<void> {
    const name = `${hexOf(configDigest)}.json`;
    const layers = diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
    await this.#blobs.writeFile(bytesOf(name), config);
    const listing = [{ Config: name, RepoTags: this.#tag === undefined ? [] : [this.#tag], Layers: layers }];
    await this.#blobs.writeFile('manifest.json', JSON.stringify(listing));
    const names = [...new Set(layers), name, 'manifest.json'].map(bytesOf);
    await this.#staged.giveNameTo(await writeTar(this.#staged.folder, names, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#staged[Symbol.dispose]();
  }
}
