import { listImages } from '../../oci/image.js';
import { describeError } from '../errors.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';
import { shortDigest, table } from '../table.js';

/** `oci images`: lists tagged images; those that cannot be read are reported on standard error. */
export async function run(session: Session, _: [], options: GlobalOptions & { json?: true }): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const { images, unreadable } = await listImages(repository);
  for (const { name, error } of unreadable) process.stderr.write(`Skipping ${JSON.stringify(name)}: ${describeError(error)}\n`);
  if (options.json) return session.out.json({ images });
  if (images.length === 0) return session.out.line('No images found');
  const rows = images.map(({ name, manifest_digest, is_container, architecture, layer_count, referrer_count }) => [
    name,
    shortDigest(manifest_digest),
    is_container ? architecture : 'artifact',
    `${layer_count}`,
    `${referrer_count}`,
  ]);
  return session.out.line(table(['NAME', 'DIGEST', 'ARCH', 'LAYERS', 'REFS'], rows));
}
