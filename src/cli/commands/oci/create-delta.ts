import { createDelta } from '../../../oci/delta/create.js';
import type { CreateDeltaResult, DeltaEvent, DeltaLayerReport } from '../../../oci/delta/types.js';
import { isRegistryDestination } from '../../../oci/push/destination/open.js';
import { describeBytes } from '../../../oci/pull/stats.js';
import { openRepository } from '../../open-repository.js';
import { PushProgress } from '../../push-progress.js';
import { checkNoRegistryOptions, registryChoice } from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { CreateDeltaCommandOptions } from './create-delta.options.js';

/** `oci create-delta`: makes an update of what changed. */
export async function run(
  session: Session,
  [from, to, destination]: [string, string, string],
  options: CreateDeltaCommandOptions,
): Promise<void> {
  const remote = isRegistryDestination(destination);
  if (!remote) checkNoRegistryOptions(options);
  using repository = await openRepository(session, options, 'read');
  await using progress = await PushProgress.start(process.stderr);
  const result = await createDelta(repository, from, to, destination, {
    format: options.format,
    compressionLevel: options.compressionLevel,
    registry: remote ? registryChoice(options, (line) => progress.say(line)) : undefined,
    signal: session.signal,
    onEvent: (event) => show(progress, event),
  });
  await progress[Symbol.asyncDispose]();
  if (options.json) return await session.out.json(asJson(result));
  await printText(session, result, options.stats === true);
}

function show(progress: PushProgress, event: DeltaEvent): void {
  if (event.kind === 'packing') {
    const { diffId: name, done, size } = event;
    return progress.show({ kind: 'progress', name, done, sent: done, size });
  }
  if (event.kind === 'packed') return progress.say(`layer ${describeLayer(event.layer)}`);
  if (event.kind === 'no-target')
    return progress.say(
      `warning: the registry does not have ${event.digest}, and pulls find a delta by the image that it makes: push ` +
        "that, too, or pull the registry's own with --keep-blobs and make the delta of it",
    );
  progress.show(event);
}

async function printText({ out }: Session, result: CreateDeltaResult, stats: boolean): Promise<void> {
  const { size, fullSize } = result;
  await out.line(`manifest ${result.manifestDigest}`);
  await out.line(`source   ${result.sourceConfig}`);
  await out.line(`target   ${result.target}`);
  await out.line(`size     ${describeBytes(size)} of ${describeBytes(fullSize)}`);
  if (!stats) return;
  for (const layer of result.layers) {
    await out.line(`layer    ${describeLayer(layer)}`);
    if (layer.parts === undefined) continue;
    const { copied, changed, added, rest } = layer.parts;
    await out.line(
      `         ${describeBytes(copied)} in files that are the same, ${describeBytes(changed)} in changed ones, ` +
        `${describeBytes(added)} in new ones, ${describeBytes(rest)} of headers and small files`,
    );
  }
}

function describeLayer({ diffId, made, size, fullSize }: DeltaLayerReport): string {
  const what = {
    reused: 'is in both images',
    patch: `${describeBytes(size)} instead of ${describeBytes(fullSize)}`,
    whole: `${describeBytes(size)}, whole: a patch would not be smaller`,
  }[made];
  return `${diffId} ${what}`;
}

function asJson(result: CreateDeltaResult): unknown {
  return {
    manifest_digest: result.manifestDigest,
    source_config_digest: result.sourceConfig,
    target_manifest_digest: result.target,
    size: result.size,
    full_size: result.fullSize,
    layers: result.layers.map(({ diffId, digest, made, size, fullSize, parts }) => ({
      diff_id: diffId,
      digest,
      made,
      size,
      full_size: fullSize,
      parts: parts ?? null,
    })),
  };
}
