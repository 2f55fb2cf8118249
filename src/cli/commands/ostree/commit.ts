import { commitSource } from '../../../ostree/commit/commit-source.js';
import { openRepository } from '../../open-repository.js';
import { epochOfSource } from '../../ostree/commit-time.js';
import type { Session } from '../../session.js';
import type { CommitOptions } from './commit.options.js';

/** `ostree commit`: makes a commit of an image or a folder. */
export async function run(session: Session, [source]: [string], options: CommitOptions): Promise<void> {
  const { reference: ref, subject, timestamp = epochOfSource(), erofsVersion } = options;
  const { signal } = session;
  using repository = await openRepository(session, options, 'write');
  const made = await commitSource(repository, source, { ref, subject, timestamp, erofsVersion, signal });
  const { commit, stream, image } = made;
  if (options.json) return await session.out.json({ commit, verity: stream, image, ...(ref && { tag: ref }) });
  await session.out.line(`commit  ${commit}`);
  await session.out.line(`verity  ${stream}`);
  if (ref !== undefined) await session.out.line(`tagged  ${ref}`);
}
