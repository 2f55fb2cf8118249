import { NotFoundError } from '../../../errors.js';
import { removeCommitRef } from '../../../ostree/refs.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree untag`: takes a name away. */
export async function run(session: Session, [name]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  if (!removeCommitRef(repository, name)) throw new NotFoundError(`Failed to remove tag ${name}: there is none`);
  await repository.sync();
}
