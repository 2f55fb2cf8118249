import { BridgeError } from '../../errors.js';
import { decodeRefName } from '../../repository/ref-name.js';
import type { Repository } from '../../repository/repository.js';
import { listTagNames, readTag } from '../../repository/tags.js';
import type { StoredImage } from '../../storage/image.js';
import type { WritableStore } from '../../storage/write/writable-store.js';
import { namesOfTags, type AllOptions, type AllResult, type NamedOutcome, type SkippedName } from './all.js';
import { nameFilter } from './name-filter.js';
import { pushToStore } from './push-to-store.js';
import type { StoreCopyOptions } from './types.js';

export interface PushAllOptions extends AllOptions, Pick<StoreCopyOptions, 'zeroCopy' | 'onEvent'> {}

/**
 * Brings all tagged images of a repository into a containers-storage, each under the name that its tag is. What is
 * there is left alone, a name that another image has moves. One that fails does not keep the others from coming.
 * @param repository stays the caller's
 * @param store is not disposed; undefined for one that is not there yet, where nothing is to be changed
 * @returns what became of each name, failures among them, and the tags that are no names
 * @throws what the store throws when it is listed; the signal's reason
 * @example
 * ```ts
 * import { discoverStore, openStoreForWriting, pushAll, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/srv/composefs');
 * await using store = await openStoreForWriting(discoverStore());
 * const { images } = await pushAll(repository, store);
 * for (const { name, outcome } of images) console.log(name, outcome); // quay.io/fedora/fedora:43 new
 * ```
 */
export async function pushAll(
  repository: Repository,
  store: WritableStore | undefined,
  options: PushAllOptions = {},
): Promise<AllResult> {
  const isMeant = nameFilter(options.filter ?? []);
  const { named, skipped } = namesOfTags(listTagNames(repository).map(decodeRefName));
  const there = await namesIn(store, options.signal);
  const images: NamedOutcome[] = [];
  const tell = (outcome: NamedOutcome): void => {
    images.push(outcome);
    options.onOutcome?.(outcome);
  };
  for (const [name, tag] of named) {
    if (isMeant(name)) tell(await pushOne(repository, store, tag, name, there, options));
  }
  if (options.prune === true) {
    const gone = [...there.keys()].filter((name) => !named.has(name) && isMeant(name));
    if (options.dryRun !== true && store !== undefined) await removeNames(store, gone, options.signal);
    for (const name of gone) tell({ name, manifestDigest: undefined, outcome: 'removed' });
  }
  return { images, skipped: skipped.filter(({ name }: SkippedName) => isMeant(name)) };
}

/** The manifest of the image that has a name, by the names; undefined where nobody can tell. */
async function namesIn(
  store: WritableStore | undefined,
  signal: AbortSignal | undefined,
): Promise<Map<string, string | undefined>> {
  const images = (await store?.images({ signal })) ?? [];
  return new Map(images.flatMap((image) => image.names.map((name) => [name, manifestOf(image)] as const)));
}

/** A list, or what is damaged, is none of the images that come. */
function manifestOf(image: StoredImage): string | undefined {
  try {
    return image.manifestDigest;
  } catch (error) {
    if (error instanceof BridgeError) return undefined;
    throw error;
  }
}

/** Takes names away, and the images that have none left then, unless a container uses them. */
async function removeNames(
  store: WritableStore,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (names.length === 0) return;
  const changed = new Set(await store.removeNames(names, { signal }));
  for (const { id, names: left } of await store.images({ signal })) {
    if (!changed.has(id) || left.length > 0) continue;
    try {
      await store.removeImage(id, { signal });
    } catch (error) {
      if (!(error instanceof BridgeError && (error.code as string) === 'IMAGE_IN_USE')) throw error;
    }
  }
}

async function pushOne(
  repository: Repository,
  store: WritableStore | undefined,
  tag: string,
  name: string,
  there: ReadonlyMap<string, string | undefined>,
  { zeroCopy, dryRun, signal, onEvent }: PushAllOptions,
): Promise<NamedOutcome> {
  signal?.throwIfAborted();
  let manifestDigest: string | undefined;
  try {
    manifestDigest = readTag(repository, tag);
    if (manifestDigest !== undefined && there.get(name) === manifestDigest)
      return { name, manifestDigest, outcome: 'there' };
    if (dryRun !== true && store !== undefined)
      await pushToStore(repository, tag, store, { names: [name], zeroCopy, signal, onEvent });
    return { name, manifestDigest, outcome: there.has(name) ? 'moved' : 'new' };
  } catch (error) {
    signal?.throwIfAborted();
    // Of a store that has no room the next image learns as well; all else is this one's.
    if (!(error instanceof BridgeError)) throw error;
    return { name, manifestDigest, outcome: 'failed', error };
  }
}
