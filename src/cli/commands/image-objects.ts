import { imageObjects } from '../../erofs/read/image-objects.js';
import { readNamedImage } from '../../repository/read-named-image.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

/** `image-objects`: lists the objects of an image, sorted. */
export async function run(session: Session, [name]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  for (const id of readNamedImage(repository, name, imageObjects))
    await session.out.line(`${repository.algorithm}:${id}`);
}
