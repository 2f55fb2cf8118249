// OCI layouts: a folder that may have images already, or a tar with one image.
import { constants, mkdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod';
import { bytesOf } from '../../../bytes.js';
import { FormatError } from '../../../errors.js';
import { openBelievedDirectory } from '../../../fd/believed-path.js';
import { isErrno, openBeneath, type Fd } from '../../../fd/fd.js';
import { readSmallFile } from '../../../fd/read-file.js';
import { DOCUMENT_LIMIT } from '../../../limits.js';
import { files } from '../../../native.js';
import { makeDirectories } from '../../../repository/links.js';
import { MEDIA_TYPES } from '../../../spec/manifest.js';
import { splitPath } from '../../source/split-path.js';
import { bytesBlob, type OutgoingBlob } from '../outgoing-blob.js';
import type { OutgoingManifest } from '../outgoing-manifest.js';
import type { BlobOutcome } from '../types.js';
import { BlobFolder } from './blob-folder.js';
import type { BlobWatch, Destination, FinishedImage, Referrer } from './destination.js';
import { StagedPath } from './staged-path.js';
import { writeTar } from './write-tar.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const LAYOUT = '{"imageLayoutVersion":"1.0.0"}';
const LOCK_INTERVAL_MS = 50;

const entry = z.looseObject({
  mediaType: z.string(),
  digest: z.string(),
  size: z.number(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
const index = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(entry) });

type Index = z.output<typeof index>;
type Entry = z.output<typeof entry>;

/** A folder with a layout, which is made where there is none. @param place its path, and the name of the image in it */
export function layoutDestination(place: string): Destination {
  const { path, name } = splitPath(place);
  mkdirSync(path, { recursive: true });
  const root = openBelievedDirectory(bytesOf(path));
  return new LayoutDestination(root, name, path, undefined);
}

/** A tar with a layout of one image; a file of that name is replaced. */
export function layoutArchiveDestination(place: string): Destination {
  const { path, name } = splitPath(place);
  const staged = new StagedPath(path);
  try {
    return new LayoutDestination(staged.folder.duplicate(), name, path, staged);
  } catch (error) {
    staged[Symbol.dispose]();
    throw error;
  }
}

class LayoutDestination implements Destination {
  readonly manifests = 'oci';
  readonly plainLayers = false;
  readonly #root: Fd;
  readonly #blobs: BlobFolder;
  readonly #name: string | undefined;
  readonly #shown: string;
  readonly #staged: StagedPath | undefined;
  readonly #referrers: Entry[] = [];

  constructor(root: Fd, name: string | undefined, shown: string, staged: StagedPath | undefined) {
    this.#root = root;
    this.#name = name;
    this.#shown = shown;
    this.#staged = staged;
    this.#blobs = new BlobFolder(root, (digest) => bytesOf(`blobs/${digest.replace(':', '/')}`));
    try {
      makeDirectories(root, 'blobs/sha256').close();
    } catch (error) {
      root.close();
      throw error;
    }
  }

  async takeOver(blob: { digest: string; size: number }): Promise<'present' | undefined> {
    return this.#blobs.has(blob) ? 'present' : undefined;
  }

  async putBlob(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome> {
    return this.#blobs.put(blob, watch, signal);
  }

  async putImage({ manifest }: FinishedImage, signal: AbortSignal): Promise<void> {
    await this.#putManifest(manifest, signal);
    await this.#blobs.writeFile('oci-layout', LAYOUT);
    // One after the other: what another push adds meanwhile must not be lost.
    while (!files.flock(this.#root.number, 'exclusive')) await setTimeout(LOCK_INTERVAL_MS, undefined, { signal });
    const now = withEntries(this.#readIndex(), [
      ...this.#referrers,
      entryOf(manifest, this.#name === undefined ? undefined : { [REF_NAME]: this.#name }),
    ]);
    await files.syncfs(this.#root.number);
    await this.#blobs.writeFile('index.json', JSON.stringify(now));
    await this.#staged?.giveNameTo(await writeTar(this.#root, ['oci-layout', 'index.json', 'blobs'], signal));
  }

  async putReferrer({ manifest, artifactType, annotations }: Referrer, signal: AbortSignal): Promise<void> {
    await this.#putManifest(manifest, signal);
    this.#referrers.push({ ...entryOf(manifest, annotations), ...(artifactType !== undefined && { artifactType }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#root.close();
    this.#staged?.[Symbol.dispose]();
  }

  async #putManifest({ digest, bytes }: OutgoingManifest, signal: AbortSignal): Promise<void> {
    await this.#blobs.put(bytesBlob(digest, bytes), SILENT, signal);
  }

  #readIndex(): Index {
    let file: Fd;
    try {
      file = openBeneath(this.#root, 'index.json', constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return { schemaVersion: 2, manifests: [] };
      throw error;
    }
    using owned = file;
    try {
      return index.parse(JSON.parse(readSmallFile(owned, DOCUMENT_LIMIT).toString('utf8')));
    } catch (cause) {
      throw new FormatError('INDEX_INVALID', `${this.#shown}/index.json is not that of an OCI layout`, { cause });
    }
  }
}

const SILENT: BlobWatch = { onProgress: () => undefined, onContinue: () => undefined, onRetry: () => undefined };

function entryOf(
  { mediaType, digest, bytes }: OutgoingManifest,
  annotations: Readonly<Record<string, string>> | undefined,
): Entry {
  return { mediaType, digest, size: bytes.length, ...(annotations && { annotations: { ...annotations } }) };
}

/** As skopeo does it: an image that loses its name stays, without one. */
function withEntries(before: Index, entries: readonly Entry[]): Index {
  const manifests = [...before.manifests];
  for (const added of entries) {
    const name = added.annotations?.[REF_NAME];
    const holder = name === undefined ? -1 : manifests.findIndex(({ annotations }) => annotations?.[REF_NAME] === name);
    if (holder >= 0) manifests[holder] = withoutName(manifests[holder] as Entry);
    const same = manifests.findIndex(
      ({ digest, annotations }) => digest === added.digest && annotations?.[REF_NAME] === undefined,
    );
    if (same >= 0) manifests[same] = added;
    else manifests.push(added);
  }
  return { mediaType: MEDIA_TYPES.index, ...before, manifests };
}

function withoutName({ annotations, ...rest }: Entry): Entry {
  const others = Object.entries(annotations ?? {}).filter(([name]) => name !== REF_NAME);
  return { ...rest, ...(others.length > 0 && { annotations: Object.fromEntries(others) }) };
}
