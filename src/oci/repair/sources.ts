// Where right content may come from: images that can be pulled, other repositories, and repositories of ostree.
import type { Abortable } from '../../abortable.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { withoutPassword } from '../../http/http-error.js';
import type { RemoteOptions } from '../../ostree/http/remote.js';
import { openObjects, objectsOf } from '../../ostree/open-objects.js';
import { isUrl } from '../../ostree/place.js';
import type { ObjectSource } from '../../ostree/pull/source.js';
import { Repository } from '../../repository/repository.js';
import { listTagNames } from '../../repository/tags.js';
import { decodeRefName } from '../../repository/ref-name.js';
import { openSource, splitReference, transportList } from '../source/open.js';
import { openRepositoryImage } from '../source/repository.js';
import type { ImageSource } from '../source/source.js';

/** One `--from`. */
export interface RepairSource extends AsyncDisposable {
  /** as it was given */
  name: string;
  images: readonly ImageSource[];
  /** another repository, whose objects can be taken by their digests */
  repository: Repository | undefined;
  /** @internal the objects of commits, of a repository of ostree or another one */
  commits: ObjectSource | undefined;
}

/** All sources of a repair, which are closed together. */
export interface RepairSources extends AsyncDisposable {
  all: readonly RepairSource[];
  close(): Promise<void>;
}

export interface OpenRepairSourcesOptions extends Abortable {
  /**
   * who to be at the server of a repository of ostree, and whom to believe. Credentials and headers are for one server:
   * with several, none of which is asked then, it is an error
   */
  server?: RemoteOptions | undefined;
}

/**
 * Opens sources in order; when one fails, none stays open. @throws BridgeError `REPAIR_SOURCE`, with the cause
 * @example
 * ```ts
 * import { openRepairSources } from 'composefs-bridge';
 *
 * await using sources = await openRepairSources(['oci:/srv/layout', '/srv/backup']);
 * for (const { name, images } of sources.all) console.log(name, images.length); // …
 * ```
 */
export async function openRepairSources(
  names: readonly string[],
  { server, signal }: OpenRepairSourcesOptions = {},
): Promise<RepairSources> {
  checkOneServer(names, server);
  const all: RepairSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of all.splice(0).reverse()) await source[Symbol.asyncDispose]();
  };
  for (const name of names) {
    try {
      all.push(await openRepairSource(name, server, signal));
    } catch (cause) {
      await close();
      throw new BridgeError('REPAIR_SOURCE', `opening source ${withoutPassword(name)}`, { cause });
    }
  }
  return { all, close, [Symbol.asyncDispose]: close };
}

/** Whether a source is a repository of ostree that a server has. */
export function isOstreeServer(name: string): boolean {
  return splitReference(name).transport === undefined && isUrl(name) && !/^file:/i.test(name);
}

/** What is for one server is not sent to others. */
function checkOneServer(names: readonly string[], { credentials, headers = {} }: RemoteOptions = {}): void {
  if ((credentials === undefined || credentials === 'nobody') && Object.keys(headers).length === 0) return;
  const servers = names
    .filter((name) => isOstreeServer(name) && URL.canParse(name))
    .map((name) => new URL(name).origin);
  const [first, other] = new Set(servers);
  if (other !== undefined)
    throw new BridgeError(
      'REPAIR_SOURCE',
      `credentials and headers are for one server, and the sources are at ${first} and ${other}; credentials may ` +
        'also be in the URL of each',
    );
}

/**
 * Opens a source: an image as `oci pull` takes it, the URL of a repository of ostree, or else the directory of a
 * repository, with all its tagged images, or of one of ostree.
 * @throws NotFoundError, and what the source throws
 */
async function openRepairSource(
  name: string,
  server: RemoteOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<RepairSource> {
  if (splitReference(name).transport !== undefined) {
    const image = await openSource(name, { signal });
    return {
      name,
      images: [image],
      repository: undefined,
      commits: undefined,
      [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
    };
  }
  const repository = isUrl(name) ? undefined : await openOther(name, signal);
  if (repository === undefined) return await openOstree(name, server);
  try {
    const images: ImageSource[] = [];
    for (const tag of listTagNames(repository).map(decodeRefName)) {
      const image = await openRepositoryImage(repository, tag).catch(unreadable);
      if (image !== undefined) images.push(image);
    }
    return {
      name,
      images,
      repository,
      commits: objectsOf(repository),
      [Symbol.asyncDispose]: async () => repository[Symbol.dispose](),
    };
  } catch (error) {
    repository[Symbol.dispose]();
    throw error;
  }
}

/** @returns undefined when there is no such repository */
async function openOther(name: string, signal: AbortSignal | undefined): Promise<Repository | undefined> {
  try {
    return await Repository.open(name, { signal });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

async function openOstree(name: string, server: RemoteOptions | undefined): Promise<RepairSource> {
  try {
    const opened = await openObjects(name, server);
    return {
      name: opened.place,
      images: [],
      repository: undefined,
      commits: opened.source,
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new NotFoundError(
      `"${withoutPassword(name)}" is neither a repository nor an image; images start with one of ` +
        `${transportList().join(', ')}, and URLs of ostree repositories with http:// or https://`,
      { cause },
    );
  }
}

/** A damaged image of the other repository is not a source; its objects still are. */
function unreadable(error: unknown): undefined {
  if (!(error instanceof BridgeError)) throw error;
}
