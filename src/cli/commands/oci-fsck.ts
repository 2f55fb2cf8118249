import { fsckImages, imageFsckJson, imageFsckText } from '../../oci/fsck.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

/** `oci fsck`: checks the repository and then its images, or one of them; fails when something is wrong, also with JSON. */
export async function run(session: Session, [image]: [string | undefined], options: GlobalOptions & { json?: true }): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const report = await fsckImages(repository, image, { signal: session.signal });
  if (options.json) await session.out.json(imageFsckJson(report));
  else await session.out.write(imageFsckText(report));
  if (!report.ok) throw new Error('OCI integrity check failed');
}
