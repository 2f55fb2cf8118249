import { isStoreDestination, parseStoreDestination, STORE_FORM } from '../../oci/store/destination.js';
import { bringToStore } from '../bring-to-store.js';
import { locateSource } from '../locate-source.js';
import { UsageError } from '../errors.js';
import { checkNoPolicyOptions, checkNoRegistryOptions, policyChoice, registryChoice } from '../registry-options.js';
import type { Session } from '../session.js';
import { StoreProgress } from '../store-progress.js';
import type { CopyCommandOptions } from './copy.options.js';

/** `copy`: brings an image into a containers-storage. */
export async function run(session: Session, [from, to]: [string, string], options: CopyCommandOptions): Promise<void> {
  if (!isStoreDestination(to))
    throw new UsageError(
      `"${to}" is not ${STORE_FORM}; "oci push" brings an image of a repository to other places, and skopeo from ` +
        'one of these to another',
    );
  const location = locateSource(from, options);
  if (!location.inRegistry && !location.proxied) checkNoRegistryOptions(options);
  if (options.socket !== undefined) checkNoPolicyOptions(options, 'what a server passes is under the policy it has');
  const destination = parseStoreDestination(to);
  await using progress = await StoreProgress.start(process.stderr);
  await using source = await location.open({
    platform: options.platform,
    policy: policyChoice(options),
    registry: registryChoice(options, (line) => progress.say(line)),
    signal: session.signal,
  });
  if (destination.name === undefined && source.extras?.().names === undefined)
    throw new UsageError(`"${to}" lacks a name for the image, which has none where it comes from`);
  const names = destination.name === undefined ? undefined : [destination.name];
  await bringToStore(session, source, destination.store, names, progress, options);
}
