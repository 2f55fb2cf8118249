import type { Repository } from '../../repository/repository.js';
import type { Checksum } from '../object/checksum.js';
import { completeStream } from '../stream/read-commit.js';

/** A delta that can be used. */
export interface OfferedDelta {
  /** the commit it needs, which is in the repository; undefined: none */
  readonly from: Checksum | undefined;
  readonly to: Checksum;
  /** SHA-256 of its superblock, in hex */
  readonly digest: string;
}

/**
 * The delta to a commit that brings least: one from a commit that is in the repository, or else one from nothing.
 * @param offered SHA-256 of superblocks by name, from a summary or index
 */
export function chooseDelta(
  repository: Repository,
  offered: ReadonlyMap<string, string>,
  to: Checksum,
): OfferedDelta | undefined {
  for (const [name, digest] of offered) {
    const from = /^([0-9a-f]{64})-([0-9a-f]{64})$/.exec(name);
    if (from?.[2] === to && completeStream(repository, from[1]!) !== undefined) return { from: from[1]!, to, digest };
  }
  const digest = offered.get(to);
  return digest === undefined ? undefined : { from: undefined, to, digest };
}
