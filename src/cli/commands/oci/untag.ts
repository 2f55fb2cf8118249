import { NotFoundError } from '../../../errors.js';
import { removeTag } from '../../../repository/tags.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `oci untag`: takes a name away; the image stays until garbage is collected. */
export async function run(session: Session, [name]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  if (!removeTag(repository, name)) throw new NotFoundError(`there is no tag "${name}"`);
  await session.out.line(`Removed tag ${name}`);
}
