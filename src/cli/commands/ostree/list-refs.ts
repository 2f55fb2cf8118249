import { listServerRefs } from '../../../ostree/http/list-refs.js';
import { openRepository } from '../../open-repository.js';
import { remoteChoice } from '../../ostree/remote-options.js';
import type { Session } from '../../session.js';
import { table } from '../../table.js';
import type { ListRefsOptions } from './list-refs.options.js';

/** `ostree list-refs`: lists the refs of a repository that a server has. */
export async function run(session: Session, [url]: [string], options: ListRefsOptions): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  const { signal } = session;
  const refs = await listServerRefs(repository, url, { ...remoteChoice(options), subset: options.subset, signal });
  if (options.json) return await session.out.json(refs);
  if (refs.length === 0) return await session.out.line('No refs found');
  return await session.out.line(
    table(
      ['REF', 'COMMIT'],
      refs.map(({ name, commit }) => [name, commit]),
    ),
  );
}
