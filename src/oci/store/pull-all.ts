import { BridgeError } from '../../errors.js';
import { manifestContentId } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { listTagNames, readTag, removeTag } from '../../repository/tags.js';
import { decodeRefName } from '../../repository/ref-name.js';
import { discoverStore } from '../../storage/discover.js';
import { parseImageReference, parseStoreReference, storedNameOf } from '../../storage/reference.js';
import { Store } from '../../storage/store.js';
import type { Platform } from '../../spec/platform.js';
import { pullImage } from '../pull/pull.js';
import type { PullOptions } from '../pull/types.js';
import type { ImageSource } from '../source/source.js';
import type { AllOptions, AllResult, NamedOutcome, SkippedName } from './all.js';
import { namesOfTags } from './all.js';
import { nameFilter } from './name-filter.js';

export interface PullAllOptions extends AllOptions {
  /** which image of a manifest list to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** for each image; `name`, `signal` and `platform` are those of here */
  pulling?: Omit<PullOptions, 'name' | 'signal' | 'platform'>;
}

/**
 * Brings all images of a containers-storage that have a name into a repository, each under its name as a tag. What is
 * there is left alone, a tag of another image moves. One that fails does not keep the others from coming.
 * @param repository open for writing; stays the caller's
 * @param reference of the store: `containers-storage:` or `containers-storage:[STORE]`
 * @param open opens the image of a complete reference, as `openSource` does
 * @returns what became of each name, failures among them, and the names that cannot be tags
 * @throws what opening and listing the store throws; the signal's reason
 * @example
 * ```ts
 * import { openSource, pullAll, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/srv/backup', { write: true });
 * const { images } = await pullAll(repository, 'containers-storage:', openSource, { filter: ['localhost/*'] });
 * for (const { name, outcome } of images) console.log(name, outcome); // localhost/app:latest new
 * ```
 */
export async function pullAll(
  repository: Repository,
  reference: string,
  open: (reference: string) => Promise<ImageSource>,
  options: PullAllOptions = {},
): Promise<AllResult> {
  const isMeant = nameFilter(options.filter ?? []);
  const images: NamedOutcome[] = [];
  const skipped: SkippedName[] = [];
  const found = new Set<string>();
  const tell = (outcome: NamedOutcome): void => {
    images.push(outcome);
    options.onOutcome?.(outcome);
  };
  using store = Store.open(discoverStore(parseStoreReference(reference)));
  const names = (await store.images({ signal: options.signal })).flatMap((image) => image.names);
  for (const name of [...new Set(names)].sort()) {
    found.add(name);
    if (!isMeant(name)) continue;
    if (!isTagName(name)) skipped.push({ name, reason: 'it has no tag, but a digest' });
    else tell(await pullOne(repository, store, name, () => open(`${reference}${name}`), options));
  }
  if (options.prune === true) {
    const { named } = namesOfTags(listTagNames(repository).map(decodeRefName));
    for (const [name, tag] of named) {
      if (found.has(name) || !isMeant(name)) continue;
      if (options.dryRun !== true) removeTag(repository, tag);
      tell({ name: tag, manifestDigest: undefined, outcome: 'removed' });
    }
  }
  return { images, skipped };
}

function isTagName(name: string): boolean {
  try {
    return storedNameOf(parseImageReference(name)) === name && !name.includes('@');
  } catch {
    return false;
  }
}

async function pullOne(
  repository: Repository,
  store: Store,
  name: string,
  open: () => Promise<ImageSource>,
  { platform, pulling, dryRun, signal }: PullAllOptions,
): Promise<NamedOutcome> {
  signal?.throwIfAborted();
  let manifestDigest: string | undefined;
  try {
    const tagged = readTag(repository, name);
    ({ manifestDigest } = await store.image(name, { platform, signal }));
    if (tagged === manifestDigest && repository.streamObject(manifestContentId(manifestDigest)) !== undefined)
      return { name, manifestDigest, outcome: 'there' };
    if (dryRun !== true) {
      await using source = await open();
      ({ manifestDigest } = await pullImage(repository, source, { ...pulling, name, platform, signal }));
    }
    return { name, manifestDigest, outcome: tagged === undefined ? 'new' : 'moved' };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof BridgeError)) throw error;
    return { name, manifestDigest, outcome: 'failed', error };
  }
}
