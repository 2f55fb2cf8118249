// Where right content may come from: images that can be pulled, and other repositories.
import { BridgeError, NotFoundError } from '../../errors.js';
import { Repository } from '../../repository/repository.js';
import { decodeTag, listTagNames } from '../../repository/tags.js';
import { openSource, TRANSPORT_NAMES } from '../source/open.js';
import { openRepositoryImage } from '../source/repository.js';
import type { ImageSource } from '../source/source.js';

/** One `--from`. */
export interface RepairSource extends AsyncDisposable {
  /** as it was given */
  name: string;
  images: readonly ImageSource[];
  /** another repository, whose objects can be taken by their digests */
  repository: Repository | undefined;
}

/** All sources of a repair, which are closed together. */
export interface RepairSources extends AsyncDisposable {
  all: readonly RepairSource[];
}

/** Opens sources in order; when one fails, none stays open. @throws BridgeError `REPAIR_SOURCE`, with the cause */
export async function openRepairSources(names: readonly string[], signal: AbortSignal): Promise<RepairSources> {
  const all: RepairSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of all.splice(0).reverse()) await source[Symbol.asyncDispose]();
  };
  for (const name of names) {
    try {
      all.push(await openRepairSource(name, signal));
    } catch (cause) {
      await close();
      throw new BridgeError('REPAIR_SOURCE', `opening source ${name}`, { cause });
    }
  }
  return { all, [Symbol.asyncDispose]: close };
}

/**
 * Opens a source: an image as `oci pull` takes it, or else the directory of a repository, with all its tagged images.
 * @throws NotFoundError, and what the source throws
 */
export async function openRepairSource(name: string, signal: AbortSignal): Promise<RepairSource> {
  if (TRANSPORT_NAMES.includes(name.slice(0, Math.max(name.indexOf(':'), 0)))) {
    const image = await openSource(name, { signal });
    return { name, images: [image], repository: undefined, [Symbol.asyncDispose]: () => image[Symbol.asyncDispose]() };
  }
  const repository = await openOther(name, signal);
  try {
    const images: ImageSource[] = [];
    for (const tag of listTagNames(repository).map(decodeTag)) {
      const image = await openRepositoryImage(repository, tag).catch(unreadable);
      if (image !== undefined) images.push(image);
    }
    return { name, images, repository, [Symbol.asyncDispose]: async () => repository[Symbol.dispose]() };
  } catch (error) {
    repository[Symbol.dispose]();
    throw error;
  }
}

async function openOther(name: string, signal: AbortSignal): Promise<Repository> {
  try {
    return await Repository.open(name, { signal });
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new NotFoundError(`"${name}" is neither a repository nor an image; images start with one of ${TRANSPORT_NAMES.map((known) => `${known}:`).join(', ')}`, { cause });
  }
}

/** A damaged image of the other repository is no source; its objects still are. */
function unreadable(error: unknown): undefined {
  if (!(error instanceof BridgeError)) throw error;
}
