// A tree of a system and its update, the same bytes every time: 16,000 files in 800 folders, some 320 MB, of which one
// file in a hundred is another one in the update.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../test/support/random.js';
import { contentOf, sizeOf } from './file-contents.js';

const FILES = 16_000;
const FILES_PER_FOLDER = 20;
/** One file of so many changes. */
const CHANGED = 100;
/** Files are so many times smaller than those of `sizeOf`. */
const SMALLER = 4;

/** Writes the folders `old` and `new`. @param folder exists */
export function makeOstreeTrees(folder: string): void {
  const sizes = new Random(1);
  const [old, now] = [join(folder, 'old'), join(folder, 'new')];
  const nameOf = (file: number): string => `usr/folder-${Math.floor(file / FILES_PER_FOLDER)}/file-${file}`;
  for (let file = 0; file < FILES; file++) {
    if (file % FILES_PER_FOLDER === 0) mkdirSync(join(old, nameOf(file), '..'), { recursive: true });
    writeFileSync(join(old, nameOf(file)), contentOf(`${file}`, Math.ceil(sizeOf(sizes) / SMALLER)));
  }
  execFileSync('cp', ['-a', old, now]);
  for (let file = CHANGED - 1; file < FILES; file += CHANGED)
    writeFileSync(join(now, nameOf(file)), contentOf(`${file} again`, Math.ceil(sizeOf(sizes) / SMALLER)));
}
