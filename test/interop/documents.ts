import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStorageImage } from '../../src/oci/source/storage.js';

/**
 * Writes manifest and config of an image of a store as skopeo's `dir:` has them, without the layers, for servers that
 * have only those.
 * @returns a reference to the folder
 */
export async function writeDocuments(folder: string, image: string, graphroot: string): Promise<string> {
  await using source = await openStorageImage(image, { graphroot });
  const { config } = JSON.parse(source.manifest.toString()) as { config: { digest: string } };
  mkdirSync(folder);
  writeFileSync(join(folder, 'manifest.json'), source.manifest);
  writeFileSync(join(folder, config.digest.slice('sha256:'.length)), source.config);
  return `dir:${folder}`;
}
