import { showBytes } from '../../bytes.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';
import { shortDigest, table } from '../table.js';

export interface ImagesOptions extends GlobalOptions {
  json?: true;
  trunc: boolean;
}

/** `images`: lists the refs of EROFS images, sorted by name. */
export async function run(session: Session, _: [], options: ImagesOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const images = repository
    .listRefs('images')
    .sort()
    .map((ref) => ({ name: showBytes(ref), digest: repository.readRef('images', ref) ?? '' }));
  if (options.json) return session.out.json({ images });
  if (images.length === 0) return session.out.line('No images found');
  const rows = images.map(({ name, digest }) => [name, options.trunc ? shortDigest(digest) : digest]);
  return session.out.line(table(['NAME', 'DIGEST'], rows));
}
