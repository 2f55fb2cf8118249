import type { PulledCommit } from '../../ostree/pull/pull.js';
import type { Session } from '../session.js';
import { talk } from '../talk.js';

/**
 * Prints what a pull of a commit did.
 * @param how behind the counts: `fetched`, `via 3 delta parts`
 */
export async function printPulled(
  { out }: Session,
  { commit, stream, image, ref, metadata, files, reused, deltaParts }: PulledCommit,
  json: boolean,
  how = 'fetched',
): Promise<void> {
  if (json) {
    const names = { commit, verity: stream, image, tag: ref ?? null };
    return out.json({ ...names, metadata, files, reused, delta_parts: deltaParts ?? null });
  }
  await out.line(`commit  ${commit}`);
  await out.line(`verity  ${stream}`);
  await out.line(`image   ${image}`);
  if (ref !== undefined) await out.line(`tagged  ${ref}`);
  await out.line(`objects ${metadata} metadata + ${files} files ${how}`);
  if (reused > 0) talk(`${reused} of them were here, in other commits\n`);
}
