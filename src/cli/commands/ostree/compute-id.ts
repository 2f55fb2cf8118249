import { ensureImage } from '../../../ostree/image/ensure-image.js';
import { findImage } from '../../../ostree/image/find-image.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { erofsVersions } from '../../../repository/meta.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree compute-id`: prints what the image of a commit is called. */
export async function run(session: Session, [source]: [string], options: GlobalOptions): Promise<void> {
  const image = (await storedImage(session, source, options)) ?? (await madeImage(session, source, options));
  await session.out.line(image);
}

/** Without a need to write. */
async function storedImage(session: Session, source: string, options: GlobalOptions): Promise<string | undefined> {
  using repository = await openRepository(session, options, 'read');
  return await findImage(repository, source, session.signal);
}

async function madeImage(session: Session, source: string, options: GlobalOptions): Promise<string> {
  using repository = await openRepository(session, options, 'write');
  const commit = await readStored(repository, resolveStored(repository, source), session.signal);
  const version = options.erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  return (await ensureImage(repository, commit, version)).image;
}
