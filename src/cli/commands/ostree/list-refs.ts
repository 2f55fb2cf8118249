import { NotFoundError } from '../../../errors.js';
import { fetchSummary } from '../../../ostree/http/fetch-summary.js';
import { OstreeRemote } from '../../../ostree/http/remote.js';
import { openRepository } from '../../open-repository.js';
import { remoteChoice } from '../../ostree/remote-options.js';
import type { Session } from '../../session.js';
import { table } from '../../table.js';
import type { ListRefsOptions } from './list-refs.options.js';

/** `ostree list-refs`: lists the refs of a repository that a server has. */
export async function run(session: Session, [url]: [string], options: ListRefsOptions): Promise<void> {
  await using remote = new OstreeRemote(url, remoteChoice(options));
  using repository = await openRepository(session, options, 'write');
  const { signal } = session;
  const summary = await fetchSummary(remote, repository, { subset: options.subset, signal });
  if (summary === undefined) throw new NotFoundError('no summary available from remote');
  const refs = [...summary.refs].sort(([a], [b]) => (a < b ? -1 : 1));
  if (options.json) return await session.out.json(refs.map(([name, commit]) => ({ name, commit })));
  if (refs.length === 0) return await session.out.line('No refs found');
  return await session.out.line(table(['REF', 'COMMIT'], refs));
}
