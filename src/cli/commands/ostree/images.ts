import { listCommitRefs } from '../../../ostree/refs.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';
import { table } from '../../table.js';

/** `ostree images`: lists the names of commits. */
export async function run(session: Session, _: [], options: GlobalOptions & { json?: true }): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const refs = listCommitRefs(repository);
  if (options.json) return await session.out.json(refs);
  if (refs.length === 0) return await session.out.line('No ostree commits found');
  return await session.out.line(
    table(
      ['NAME', 'COMMIT'],
      refs.map(({ name, commit }) => [name, commit]),
    ),
  );
}
