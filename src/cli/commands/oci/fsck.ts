import { fsckImages, imageFsckJson } from '../../../oci/repair/fsck.js';
import { imageFsckText } from '../../reports/fsck.js';
import { isCalledCfsctl } from '../../called-as.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/**
 * `oci fsck`: checks the repository and then its images, or one of them; fails when something is wrong, with JSON
 * unless called as cfsctl.
 */
export async function run(
  session: Session,
  [image]: [string | undefined],
  options: GlobalOptions & { json?: true; metadataOnly?: true },
): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const report = await fsckImages(repository, image, {
    metadataOnly: options.metadataOnly === true,
    signal: session.signal,
  });
  if (options.json) await session.out.json(imageFsckJson(report));
  else await session.out.write(imageFsckText(report));
  if (!report.ok && !(options.json && isCalledCfsctl)) throw new Error('OCI integrity check failed');
}
