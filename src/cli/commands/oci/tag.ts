import { writeTag } from '../../../repository/tags.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `oci tag`: names an image. */
export async function run(session: Session, [digest, name]: [string, string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  if (writeTag(repository, name, digest)) await repository.sync();
  await session.out.line(`Tagged ${digest} as ${name}`);
}
