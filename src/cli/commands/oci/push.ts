import { pushImage } from '../../../oci/push/push.js';
import type { PushResult } from '../../../oci/push/types.js';
import { isRegistryDestination } from '../../../oci/push/destination/open.js';
import { describeBytes } from '../../../oci/pull/stats.js';
import { openRepository } from '../../open-repository.js';
import { PushProgress } from '../../push-progress.js';
import { checkNoRegistryOptions, registryChoice } from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { PushCommandOptions } from './push.options.js';

/** `oci push`: brings an image out of the repository. */
export async function run(
  session: Session,
  [image, destination]: [string, string],
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
