import type { Abortable } from '../../abortable.js';
import type { Repository } from '../../repository/repository.js';
import { OstreeFolder } from '../local/repository.js';
import type { Checksum } from '../object/checksum.js';
import { resolveStored } from '../refs.js';
import { readStored } from '../stream/read-commit.js';
import { exportCommit, type ExportedCommit } from './export.js';

export interface ExportCommitOptions extends Abortable {
  /** the name it gets there */
  ref?: string | undefined;
}

/**
 * Writes a commit into a repository of ostree on this machine, of mode bare, bare-user or bare-user-only.
 * @param source its name here, its id, or the first digits of that
 * @param path of the ostree repository
 * @returns its id
 * @throws NotFoundError; BridgeError `UNSUPPORTED` for a mode that cannot have the commit, `INVALID_NAME`; FormatError,
 *   DigestMismatchError for a damaged one
 * @example
 * ```ts
 * import { exportCommitTo, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * const commit = await exportCommitTo(repository, 'web/stable', '/srv/bare', { ref: 'web/stable' });
 * console.log(commit.length); // 64
 * ```
 */
export async function exportCommitTo(
  repository: Repository,
  source: string,
  path: string,
  options: ExportCommitOptions = {},
): Promise<Checksum> {
  return await writeCommitTo(
    repository,
    await readStored(repository, resolveStored(repository, source), options.signal),
    path,
    options,
  );
}

/** The same for a commit at hand. @throws as `exportCommitTo` */
export async function writeCommitTo(
  repository: Repository,
  commit: ExportedCommit,
  path: string,
  options: ExportCommitOptions,
): Promise<Checksum> {
  using folder = OstreeFolder.open(path);
  await exportCommit(repository, commit, folder, options);
  return commit.id;
}
