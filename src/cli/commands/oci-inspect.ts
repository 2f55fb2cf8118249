import { inspectImage, openImage } from '../../oci/image.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

export interface InspectOptions extends GlobalOptions {
  manifest?: true;
  config?: true;
}

/** `oci inspect`: prints the JSON an image was published with. */
export async function run(session: Session, [reference]: [string], options: InspectOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const image = await openImage(repository, reference);
  if (!options.manifest && !options.config) return session.out.write(inspectImage(repository, image));
  const { bytes } = options.manifest ? image.manifestStream : image.configStream;
  await session.out.write(bytes);
  await session.out.write('\n');
}
