// What a garbage collection found and did.
import type { ByteString } from '../../bytes.js';
import type { ImageInUse } from './images-in-use.js';
import type { GcPlan } from './plan.js';
import type { GcProblem } from './problem.js';
import type { ObjectsRemoved } from './remove.js';

export interface GcReport {
  readonly dryRun: boolean;
  /** Objects removed, or that would be. */
  readonly objects: number;
  /** Their lengths, in bytes. */
  readonly bytes: number;
  /** Objects that stay. */
  readonly kept: number;
  /** Names removed, as paths below the repository. */
  readonly prunedImages: readonly ByteString[];
  readonly prunedStreams: readonly ByteString[];
  readonly prunedVerified: readonly ByteString[];
  /** Half-made files of programs that were killed. */
  readonly leftovers: readonly ByteString[];
  /** Images that no name keeps, and that stay because they are mounted, deployed or open. */
  readonly inUse: readonly ImageInUse[];
  readonly problems: readonly GcProblem[];
}

/** @param removed what of the plan was removed, or would be */
export function gcReport(
  plan: GcPlan,
  { names, leftovers }: Pick<GcPlan, 'names' | 'leftovers'>,
  objects: ObjectsRemoved,
  dryRun: boolean,
): GcReport {
  return {
    dryRun,
    objects: objects.count,
    bytes: objects.bytes,
    kept: plan.objects.table.count - objects.count,
    prunedImages: names.images,
    prunedStreams: [...names.referrers, ...names.streams],
    prunedVerified: names.verified,
    leftovers: leftovers.map(({ path }) => path),
    inUse: plan.inUse,
    problems: [...plan.problems, ...objects.problems],
  };
}
