import { listImages, summaryJson } from '../../../oci/image/image.js';
import { describeError } from '../../errors.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';
import { shortDigest, table } from '../../table.js';
import { talk } from '../../talk.js';

/** `oci images`: lists tagged images; those that cannot be read are reported on standard error. */
export async function run(session: Session, _: [], options: GlobalOptions & { json?: true }): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const { images, unreadable } = await listImages(repository);
  for (const { name, error } of unreadable) talk(`Skipping ${JSON.stringify(name)}: ${describeError(error)}\n`);
  if (options.json) return await session.out.json({ images: images.map(summaryJson) });
  if (images.length === 0) return await session.out.line('No images found');
  const rows = images.map(({ name, manifestDigest, isContainer, architecture, layerCount, referrerCount }) => [
    name,
    shortDigest(manifestDigest),
    isContainer ? architecture : 'artifact',
    `${layerCount}`,
    `${referrerCount}`,
  ]);
  return await session.out.line(table(['NAME', 'DIGEST', 'ARCH', 'LAYERS', 'REFS'], rows));
}
