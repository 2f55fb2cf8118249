import { copyToStore } from '../oci/store/copy-to-store.js';
import { planCopy } from '../oci/store/plan-copy.js';
import type { StoreEvent } from '../oci/store/types.js';
import type { ImageSource } from '../oci/source/source.js';
import type { StoreChoice } from '../storage/reference.js';
import { openStore, openStoreIfThere } from './open-store.js';
import { storeCopyJson, storeCopyText } from './reports/store-copy.js';
import type { Session } from './session.js';
import type { StoreCommandOptions } from './store-options.js';
import type { StoreProgress } from './store-progress.js';

interface BringOptions extends StoreCommandOptions {
  json?: true;
}

/**
 * Brings an image into a store, or finds out what that would be, and prints it.
 * @param names as for `copyToStore`
 * @param progress ends before the result is printed
 */
export async function bringToStore(
  { signal, out }: Session,
  source: ImageSource,
  choice: StoreChoice | undefined,
  names: readonly string[] | undefined,
  progress: StoreProgress,
  { zeroCopy = false, dryRun = false, json = false }: { [Name in keyof BringOptions]: boolean },
): Promise<void> {
  await using store = await (dryRun ? openStoreIfThere(choice, signal) : openStore(choice, signal));
  const copying = { names, zeroCopy, signal, onEvent: (event: StoreEvent) => progress.show(event) };
  const result =
    dryRun || store === undefined ? await planCopy(source, store, copying) : await copyToStore(source, store, copying);
  await progress[Symbol.asyncDispose]();
  if (json) await out.json(storeCopyJson(result, dryRun));
  else await out.write(storeCopyText(result, dryRun));
}
