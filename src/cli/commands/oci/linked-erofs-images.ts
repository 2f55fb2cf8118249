import { linkedImages } from '../../../oci/image/linked-images.js';
import { parseObjectId } from '../../../fsverity/object-id.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `oci linked-erofs-images`: the EROFS images that belong to the same container image as one of them. */
export async function run(session: Session, [verity]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  await session.out.json(await linkedImages(repository, parseObjectId(verity, repository.algorithm)));
}
