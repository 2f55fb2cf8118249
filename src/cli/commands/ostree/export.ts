import { exportImageTo } from '../../../oci/image/export-image.js';
import { exportCommitTo } from '../../../ostree/export/export-to.js';
import { openRepository } from '../../open-repository.js';
import { epochOfSource } from '../../ostree/commit-time.js';
import type { Session } from '../../session.js';
import type { ExportOptions } from './export.options.js';

/** `ostree export`: writes a commit, or a container image as one, into a repository of ostree. */
export async function run(session: Session, [source, path]: [string, string], options: ExportOptions): Promise<void> {
  const { reference: ref, subject } = options;
  const { signal } = session;
  using repository = await openRepository(session, options, 'read');
  const commit = options.oci
    ? await exportImageTo(repository, source, path, {
        ref,
        subject,
        timestamp: options.timestamp ?? epochOfSource(),
        signal,
      })
    : await exportCommitTo(repository, source, path, { ref, signal });
  await session.out.line(`commit  ${commit}`);
  if (ref !== undefined) await session.out.line(`tagged  ${ref}`);
}
