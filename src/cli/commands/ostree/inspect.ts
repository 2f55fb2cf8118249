import { commitJson, commitText, metadataText } from '../../../ostree/inspect.js';
import { parseCommit } from '../../../ostree/object/commit.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree inspect`: shows a commit. */
export async function run(
  session: Session,
  [source]: [string],
  options: GlobalOptions & { metadata?: true; json?: true },
): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const stored = await readStored(repository, resolveStored(repository, source), session.signal);
  if (options.json) return await session.out.json(commitJson(stored, repository.algorithm));
  const commit = parseCommit(stored.objects.metadata('commit', stored.id));
  await session.out.write(options.metadata ? metadataText(commit) : commitText(stored.id, commit));
}
