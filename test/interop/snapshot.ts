import { filesBelow as allFilesBelow } from '../support/walk.js';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { files } from '../../src/native.js';

/**
 * All regular files below a folder, by their path from there: what a pull must not change, in one line of text each.
 */
export function snapshot(folder: string): Record<string, string> {
  const lines = filesBelow(folder).map((path) => {
    const full = join(folder, path);
    const { mode, uid, gid, ino, mtimeNs, size } = lstatSync(full, { bigint: true });
    const content = createHash('sha256').update(readFileSync(full)).digest('hex');
    return [path, [mode, uid, gid, ino, mtimeNs, size, content, isSealed(full) ? 'sealed' : 'open'].join(' ')];
  });
  return Object.fromEntries(lines) as Record<string, string>;
}

/** Regular files below a folder, sorted, by their path from there. */
export function filesBelow(folder: string): string[] {
  return allFilesBelow(folder)
    .map((path) => path.slice(folder.length + 1))
    .sort();
}

function isSealed(path: string): boolean {
  using file = openPath(bytesOf(path));
  return files.measureVerity(file.number) !== undefined;
}
