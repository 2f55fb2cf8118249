import { commitImage } from '../../../ostree/image/ensure-image.js';
import { findImage } from '../../../ostree/image/find-image.js';
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
  return await commitImage(repository, source, { erofsVersion: options.erofsVersion, signal: session.signal });
}
