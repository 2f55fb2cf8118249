import { pushImage } from '../../../oci/push/push.js';
import type { PushResult } from '../../../oci/push/types.js';
import { isRegistryDestination } from '../../../oci/push/destination/open.js';
import { describeBytes } from '../../../oci/pull/stats.js';
import { isStoreDestination, parseStoreDestination } from '../../../oci/store/destination.js';
import { pushAll } from '../../../oci/store/push-all.js';
import { openRepositoryImage } from '../../../oci/source/repository.js';
import { parseStoreReference } from '../../../storage/reference.js';
import { AllReport } from '../../all-report.js';
import { bringToStore } from '../../bring-to-store.js';
import { UsageError } from '../../errors.js';
import { openRepository } from '../../open-repository.js';
import { openStore, openStoreIfThere } from '../../open-store.js';
import { checkNoAllOptions, refuseOptions } from '../../store-options.js';
import { StoreProgress } from '../../store-progress.js';
import { PushProgress } from '../../push-progress.js';
import { checkNoRegistryOptions, registryChoice } from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { PushCommandOptions } from './push.options.js';

const NOT_KEPT =
  'simple signatures and manifest lists are not kept in a repository: the image comes without such into the store';

/** `oci push`: brings an image, or all that have a tag, out of the repository. */
export async function run(
  session: Session,
  [image, destination]: [string, string | undefined],
  options: PushCommandOptions,
): Promise<void> {
  if (options.all) {
    if (destination !== undefined) throw new UsageError("option '--all' is about every image: name the store alone");
    return await pushAllInto(session, image, options);
  }
  checkNoAllOptions(options);
  if (destination === undefined) throw new UsageError("missing required argument 'destination'");
  if (isStoreDestination(destination)) return await pushIntoStore(session, image, destination, options);
  refuseOptions({ '--zero-copy': options.zeroCopy, '--dry-run': options.dryRun }, 'it is about a containers-storage');
  return await pushBlobs(session, image, destination, options);
}

async function pushIntoStore(
  session: Session,
  image: string,
  destination: string,
  options: PushCommandOptions,
): Promise<void> {
  checkStoreOptions(options);
  const { store: choice, name } = parseStoreDestination(destination);
  if (name === undefined) throw new UsageError(`"${destination}" lacks a name for the image`);
  using repository = await openRepository(session, options, 'read');
  await using source = await openRepositoryImage(repository, image);
  await using progress = await StoreProgress.start(process.stderr);
  progress.say(NOT_KEPT);
  await bringToStore(session, source, choice, [name], progress, options);
}

async function pushAllInto(session: Session, destination: string, options: PushCommandOptions): Promise<void> {
  checkStoreOptions(options);
  const choice = parseStoreReference(destination);
  using repository = await openRepository(session, options, 'read');
  await using store = await (options.dryRun ? openStoreIfThere : openStore)(choice, session.signal);
  await using progress = await StoreProgress.start(process.stderr);
  progress.say(NOT_KEPT);
  const report = new AllReport(session, options, (line) => progress.say(line));
  const result = await pushAll(repository, store, {
    ...report.options,
    zeroCopy: options.zeroCopy === true,
    onEvent: (event) => progress.show(event),
  });
  await progress[Symbol.asyncDispose]();
  await report.print(result);
}

function checkStoreOptions(options: PushCommandOptions): void {
  checkNoRegistryOptions(options);
  const { compression, compressionLevel, parallel, referrers, mountFrom } = options;
  refuseOptions(
    {
      '--compression': compression,
      '--compression-level': compressionLevel,
      '--parallel': parallel,
      '--referrers': referrers,
      '--mount-from': mountFrom.length > 0,
    },
    'layers lie unpacked in a containers-storage',
  );
}

async function pushBlobs(
  session: Session,
  image: string,
  destination: string,
  options: PushCommandOptions,
): Promise<void> {
  const remote = isRegistryDestination(destination);
  if (!remote) checkNoRegistryOptions(options);
  using repository = await openRepository(session, options, 'read');
  await using progress = await PushProgress.start(process.stderr);
  const result = await pushImage(repository, image, destination, {
    compression: options.compression,
    compressionLevel: options.compressionLevel,
    parallel: options.parallel,
    referrers: options.referrers,
    mountFrom: options.mountFrom,
    registry: remote ? registryChoice(options, (line) => progress.say(line)) : undefined,
    signal: session.signal,
    onEvent: (event) => progress.show(event),
  });
  await progress[Symbol.asyncDispose]();
  if (options.json) return await session.out.json(asJson(result));
  await printText(session, result);
}

async function printText({ out }: Session, result: PushResult): Promise<void> {
  const { manifestDigest, storedDigest, blobs, referrers } = result;
  await out.line(`manifest ${manifestDigest}`);
  if (manifestDigest !== storedDigest)
    await out.line(`         another one than ${storedDigest} in the repository: layers have other blobs there`);
  await out.line(`config   ${result.configDigest}`);
  const count = (outcome: string): string => {
    const some = blobs.filter((blob) => blob.outcome === outcome);
    return `${some.length} ${outcome}, ${describeBytes(some.reduce((sum, { size }) => sum + size, 0))}`;
  };
  await out.line(`blobs    ${['sent', 'mounted', 'present'].map(count).join('; ')}`);
  for (const digest of referrers) await out.line(`referrer ${digest}`);
}

function asJson(result: PushResult): unknown {
  return {
    manifest_digest: result.manifestDigest,
    stored_manifest_digest: result.storedDigest,
    unchanged: result.manifestDigest === result.storedDigest,
    media_type: result.mediaType,
    config_digest: result.configDigest,
    blobs: result.blobs.map(({ digest, size, diffId, outcome }) => ({
      digest,
      size,
      diff_id: diffId ?? null,
      outcome,
    })),
    referrers: result.referrers,
  };
}
