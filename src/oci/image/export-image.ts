import { makeCommit } from '../../ostree/commit/commit-tree.js';
import { toDeployable } from '../../ostree/commit/deployable.js';
import { writeCommitTo, type ExportCommitOptions } from '../../ostree/export/export-to.js';
import { WHOLE } from '../../ostree/form.js';
import type { Checksum } from '../../ostree/object/checksum.js';
import { CommitObjects } from '../../ostree/stream/commit-objects.js';
import type { Repository } from '../../repository/repository.js';
import { namedTree } from './named-tree.js';

export interface ExportImageOptions extends ExportCommitOptions {
  /** what the commit is about; default: nothing */
  subject?: string | undefined;
  /** seconds since 1970; default: now */
  timestamp?: bigint | undefined;
}

/**
 * Makes a commit of a container image, as `toDeployable` has it, and writes it into a repository of ostree on this
 * machine. It is not kept in this one.
 * @param image a tag, or `@` and the digest of a config
 * @param path of the ostree repository
 * @returns the id of the commit
 * @throws as `namedTree`, `toDeployable`, `makeCommit` and `exportCommitTo`
 * @example
 * ```ts
 * import { exportImageTo, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const commit = await exportImageTo(repository, 'debian', '/srv/bare', { subject: 'Release 3', timestamp: 1000n });
 * console.log(commit.length); // 64
 * ```
 */
export async function exportImageTo(
  repository: Repository,
  image: string,
  path: string,
  { ref, subject = '', timestamp, signal = new AbortController().signal }: ExportImageOptions = {},
): Promise<Checksum> {
  const root = await namedTree(repository, image, undefined, { xattrs: 'allowlist-only', bootable: false, signal });
  toDeployable(root, repository.objects);
  const { id, chunk } = await makeCommit(repository, root, { subject, timestamp, ref }, signal);
  const commit = { id, objects: new CommitObjects(chunk), form: WHOLE };
  return await writeCommitTo(repository, commit, path, { ref, signal });
}
