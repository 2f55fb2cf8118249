import { tagCommit } from '../../../ostree/refs.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree tag`: names a commit. */
export async function run(session: Session, [source, name]: [string, string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  await tagCommit(repository, source, name);
  await session.out.line(`Tagged ${source} as ${name}`);
}
