import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import { describeError } from '../errors.js';
import { IMAGES } from '../../repository/names.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';
import { shortDigest, table } from '../table.js';
import { talk } from '../talk.js';
import type { ImagesOptions } from './images.options.js';

/** `images`: lists the refs of EROFS images, sorted by name. */
export async function run(session: Session, _: [], options: ImagesOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const images = repository
    .listRefs(IMAGES)
    .sort()
    .flatMap((ref) => read(repository, ref));
  if (options.json) return await session.out.json({ images });
  if (images.length === 0) return await session.out.line('No images found');
  const rows = images.map(({ name, digest }) => [name, options.trunc ? shortDigest(digest) : digest]);
  return await session.out.line(table(['NAME', 'DIGEST'], rows));
}

/** @returns nothing, and says so on standard error, for what lies among the refs and is none */
function read(repository: Repository, ref: ByteString): { name: string; digest: string }[] {
  const name = showBytes(ref);
  try {
    return [{ name, digest: repository.readRef(IMAGES, ref) ?? '' }];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    talk(`Skipping ${JSON.stringify(name)}: ${describeError(error)}\n`);
    return [];
  }
}
