import { NotFoundError } from '../../../errors.js';
import { findBootImage } from '../../../oci/image/find-boot-image.js';
import type { PullOptions, PullResult } from '../../../oci/pull/types.js';
import { locateImage } from '../../../oci/source/location.js';
import { isRegistryReference, openSource } from '../../../oci/source/open.js';
import type { OpenSourceOptions } from '../../../oci/source/transports.js';
import { KeptParts } from '../../../repository/kept-parts.js';
import { erofsVersions } from '../../../repository/meta.js';
import { parseObjectId, type ObjectId } from '../../../fsverity/object-id.js';
import type { Repository } from '../../../repository/repository.js';
import { pullAll } from '../../../oci/store/pull-all.js';
import { parseStoreReference } from '../../../storage/reference.js';
import { AllReport } from '../../all-report.js';
import { locateSource } from '../../locate-source.js';
import { openRepository, repositoryPath } from '../../open-repository.js';
import { checkNoAllOptions, refuseOptions } from '../../store-options.js';
import { UsageError } from '../../errors.js';
import { addStats, describeBytes, describeObjects, describeUnshareable } from '../../../oci/pull/stats.js';
import { pullImageOrDelta } from '../../pull-delta.js';
import { PullProgress } from '../../pull-progress.js';
import {
  checkNoPolicyOptions,
  checkNoRegistryOptions,
  policyChoice,
  registryChoice,
  wantsProxy,
} from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { PullCommandOptions } from './pull.options.js';

/** `oci pull`: brings an image, or all of a store, into the repository. */
export async function run(
  session: Session,
  [image, name]: [string, string | undefined],
  options: PullCommandOptions,
): Promise<void> {
  if (options.all) {
    if (name !== undefined) throw new UsageError("option '--all' is about every image: name the store alone");
    return await pullAllFrom(session, image, options);
  }
  checkNoAllOptions(options);
  refuseOptions({ '--dry-run': options.dryRun }, "it needs '--all'");
  if (options.expectedDigest !== undefined && !options.bootable)
    throw new UsageError("option '--expected-digest' is about the boot image; it needs '--bootable'");
  const location = locateSource(image, options);
  const { inRegistry, proxied } = location;
  if (!inRegistry && !proxied && !(options.fallback !== undefined && isRegistryReference(options.fallback)))
    checkNoRegistryOptions(options);
  if (proxied && options.maxPartial !== undefined)
    throw new UsageError("option '--max-partial' is about registries that are read directly, without a proxy");
  if (options.socket !== undefined) checkNoPolicyOptions(options, 'what a server passes is under the policy it has');
  using mount = await location.linkingMount(repositoryPath(options));
  using repository = await openRepository(session, options, 'write', mount?.openDir);
  const expected =
    options.expectedDigest === undefined ? undefined : parseObjectId(options.expectedDigest, repository.algorithm);
  await using progress = await PullProgress.start(process.stderr, inRegistry ? 'blobs' : 'layers');
  using parts = inRegistry ? keptParts(repository, options, progress) : undefined;
  const opening: OpenSourceOptions = {
    platform: options.platform,
    openDir: mount?.openDir,
    policy: policyChoice(options),
    registry: fromRegistry(options, progress, parts),
    signal: session.signal,
  };
  await using source = await location.open(opening);
  const pulling: PullOptions = {
    name: name ?? image,
    localFetch: options.zeroCopy ? 'zerocopy' : options.localFetch,
    bootable: options.bootable === true && expected === undefined,
    sealSource: options.sealSource === true,
    allowUnverified: options.allowUnverified === true,
    keepBlobs: options.keepBlobs === true,
    erofsVersion: options.erofsVersion,
    platform: options.platform,
    signal: session.signal,
    onEvent: (event) => progress.show(event),
  };
  const result = await pullImageOrDelta(repository, source, options, pulling, {
    reference: image,
    open: (reference) => openSource(reference, opening),
    say: (line) => progress.say(line),
  });
  await progress[Symbol.asyncDispose]();
  if (options.json) await session.out.json(asJson(result));
  else await printText(session, result);
  await reportBootImage(session, repository, result, expected, options.json === true);
}

async function pullAllFrom(session: Session, store: string, options: PullCommandOptions): Promise<void> {
  parseStoreReference(store);
  checkNoRegistryOptions(options);
  const { socket, expectedDigest, keepBlobs, maxPartial, parallel, verifyKey, fallback } = options;
  refuseOptions(
    {
      '--socket': socket,
      '--proxy': wantsProxy(options),
      '--expected-digest': expectedDigest,
      '--keep-blobs': keepBlobs,
      '--max-partial': maxPartial,
      '--parallel': parallel,
      '--verify-key': verifyKey,
      '--fallback': fallback,
    },
    'it is not for all images of a store',
  );
  using mount = await locateImage(`${store}all`).linkingMount(repositoryPath(options));
  using repository = await openRepository(session, options, options.dryRun ? 'read' : 'write', mount?.openDir);
  await using progress = await PullProgress.start(process.stderr, 'layers');
  const report = new AllReport(session, options, (line) => progress.say(line));
  const opening: OpenSourceOptions = {
    platform: options.platform,
    openDir: mount?.openDir,
    policy: policyChoice(options),
    signal: session.signal,
  };
  const result = await pullAll(repository, store, (reference) => openSource(reference, opening), {
    ...report.options,
    platform: options.platform,
    pulling: {
      localFetch: options.zeroCopy ? 'zerocopy' : options.localFetch,
      bootable: options.bootable === true,
      sealSource: options.sealSource === true,
      allowUnverified: options.allowUnverified === true,
      erofsVersion: options.erofsVersion,
      onEvent: (event) => progress.show(event),
    },
  });
  await progress[Symbol.asyncDispose]();
  await report.print(result);
}

/** Says which EROFS image to boot from; makes the one that is expected. */
async function reportBootImage(
  { out, signal }: Session,
  repository: Repository,
  result: PullResult,
  expected: ObjectId | undefined,
  json: boolean,
): Promise<void> {
  if (expected !== undefined) {
    const { found, tried } = await findBootImage(repository, result.manifestDigest, expected, signal);
    if (found === undefined)
      throw new NotFoundError(
        `No boot image configuration matched expected digest ${expected} (tried ${tried} mode/version combinations)`,
      );
    if (!json) await out.line(`Boot image: ${expected} (xattr-mode=${found.xattrs}, format-version=V${found.version})`);
    return;
  }
  const [version = 1] = erofsVersions(repository.meta);
  const id = result.bootImages.get(version) ?? result.bootImages.values().next().value;
  if (id !== undefined && !json) await out.line(`Boot image: ${id}`);
}

function keptParts(
  repository: Repository,
  { maxPartial }: PullCommandOptions,
  progress: PullProgress,
): KeptParts | undefined {
  if (maxPartial === 0) return undefined;
  return KeptParts.open(repository.root, maxPartial, ({ digest, size }, limit) =>
    progress.say(
      `blob ${digest} is not kept should this pull be killed: it has ${describeBytes(size)}, and all that is ` +
        `kept may have ${describeBytes(limit)} (--max-partial)`,
    ),
  );
}

function fromRegistry(
  options: PullCommandOptions,
  progress: PullProgress,
  parts: KeptParts | undefined,
): OpenSourceOptions['registry'] {
  return {
    ...registryChoice(options, (line) => progress.say(line)),
    parallel: options.parallel,
    parts,
    // Nothing but objects is written of a delta where nobody asks for it.
    deltaParts: options.maxPartial !== undefined,
    onFetch: (fetched) => progress.fetched(fetched),
    onResume: (digest, at, { message }) => progress.say(`blob ${digest} goes on at byte ${at}: ${message}`),
  };
}

async function printText({ out }: Session, result: PullResult): Promise<void> {
  await out.line(`manifest ${result.manifestDigest}`);
  await out.line(`config   ${result.configDigest}`);
  await out.line(`verity   ${result.manifestStream}`);
  if (result.tag !== undefined) await out.line(`tagged   ${result.tag}`);
  const stats = addStats(result.layers);
  for (const line of [`objects  ${describeObjects(stats)}`, ...describeUnshareable(stats)]) await out.line(line);
}

function asJson(result: PullResult): unknown {
  return {
    manifest_digest: result.manifestDigest,
    config_digest: result.configDigest,
    manifest_verity: result.manifestStream,
    config_verity: result.configStream,
    tag: result.tag ?? null,
    images: [...result.images].map(([version, id]) => ({ version, id })),
    boot_images: [...result.bootImages].map(([version, id]) => ({ version, id })),
    layers: result.layers.map(({ diffId, actual, stream, stats }) => ({
      diff_id: diffId,
      verified: actual === diffId,
      actual_diff_id: actual,
      stream,
      already_present: stats === undefined,
      stats: stats ?? null,
    })),
  };
}
