import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { config, manifest, sha256 } from '../support/images/tiny-image.js';

/** Writes manifest and config of the tiny image, without its layer. @returns a reference to them */
export function writeLayoutDocuments(folder: string): string {
  mkdirSync(folder);
  writeFileSync(join(folder, 'manifest.json'), manifest());
  writeFileSync(join(folder, sha256(config()).slice('sha256:'.length)), config());
  return `dir:${folder}`;
}
