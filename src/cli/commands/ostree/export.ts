import { exportCommit, type ExportedCommit } from '../../../ostree/export/export.js';
import { OstreeFolder } from '../../../ostree/local/repository.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { namedTree } from '../../../oci/image/named-tree.js';
import { makeCommit } from '../../../ostree/commit/commit-tree.js';
import { toDeployable } from '../../../ostree/commit/deployable.js';
import { WHOLE } from '../../../ostree/form.js';
import { CommitObjects } from '../../../ostree/stream/commit-objects.js';
import type { Repository } from '../../../repository/repository.js';
import { openRepository } from '../../open-repository.js';
import { defaultTimestamp } from '../../ostree/commit-time.js';
import type { Session } from '../../session.js';
import type { ExportOptions } from './export.options.js';

/** `ostree export`: writes a commit into a repository of ostree. */
export async function run(session: Session, [source, path]: [string, string], options: ExportOptions): Promise<void> {
  const { reference: ref } = options;
  using repository = await openRepository(session, options, 'read');
  const commit = options.oci
    ? await containerCommit(session, repository, source, options)
    : await readStored(repository, resolveStored(repository, source), session.signal);
  using folder = OstreeFolder.open(path);
  await exportCommit(repository, commit, folder, { ref, signal: session.signal });
  await session.out.line(`commit  ${commit.id}`);
  if (ref !== undefined) await session.out.line(`tagged  ${ref}`);
}

/** A commit of a container image, which is not kept here. */
async function containerCommit(
  { signal }: Session,
  repository: Repository,
  image: string,
  { reference: ref, subject = '', timestamp = defaultTimestamp() }: ExportOptions,
): Promise<ExportedCommit> {
  const root = await namedTree(repository, image, undefined, { xattrs: 'allowlist-only', bootable: false, signal });
  toDeployable(root);
  const { id, chunk } = await makeCommit(repository, root, { subject, timestamp, ref }, signal);
  const objects = new CommitObjects(Buffer.concat(chunk.parts, chunk.size), chunk.objects);
  return { id, objects, form: WHOLE };
}
