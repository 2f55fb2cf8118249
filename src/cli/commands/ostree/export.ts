import { exportCommit } from '../../../ostree/export/export.js';
import { OstreeFolder } from '../../../ostree/local/repository.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { openRepository } from '../../open-repository.js';
import type { Session } from '../../session.js';
import type { ExportOptions } from './export.options.js';

/** `ostree export`: writes a commit into a repository of ostree. */
export async function run(session: Session, [source, path]: [string, string], options: ExportOptions): Promise<void> {
  const { reference: ref } = options;
  using repository = await openRepository(session, options, 'read');
  const commit = await readStored(repository, resolveStored(repository, source), session.signal);
  using folder = OstreeFolder.open(path);
  await exportCommit(repository, commit, folder, { ref, signal: session.signal });
  await session.out.line(`commit  ${commit.id}`);
  if (ref !== undefined) await session.out.line(`tagged  ${ref}`);
}
