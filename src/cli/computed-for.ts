import { NotFoundError } from '../errors.js';
import type { Algorithm } from '../fsverity/algorithm.js';
import { DEFAULT_ALGORITHM } from '../repository/init.js';
import { erofsVersions } from '../repository/meta.js';
import type { ErofsVersion } from '../erofs/format/options.js';
import { openRepository } from './open-repository.js';
import type { GlobalOptions, Session } from './session.js';

/** What ids are computed with. */
export interface ComputedFor {
  algorithm: Algorithm;
  version: ErofsVersion;
}

/**
 * Algorithm and format for commands that store nothing: those of the options, else of the repository, else what a new
 * repository would have. `--no-repo` leaves the repository out of it. The algorithm may be another one than the
 * repository's.
 */
export async function computedFor(session: Session, options: GlobalOptions): Promise<ComputedFor> {
  const found = options.repo === false ? undefined : await ofRepository(session, options);
  return {
    algorithm: options.hash ?? found?.algorithm ?? DEFAULT_ALGORITHM,
    version: options.erofsVersion ?? found?.version ?? 1,
  };
}

async function ofRepository(
  session: Session,
  { hash: _, ...withoutHash }: GlobalOptions,
): Promise<ComputedFor | undefined> {
  try {
    using repository = await openRepository(session, withoutHash, 'read');
    return { algorithm: repository.algorithm, version: erofsVersions(repository.meta)[0] ?? 1 };
  } catch (error) {
    if (error instanceof Error && error.cause instanceof NotFoundError) return undefined;
    throw error;
  }
}
