import { readdirSync, type Dirent } from 'node:fs';
import { join } from 'node:path';

/**
 * Everything below a folder, which itself is left out; folders come before what is in them. Symlinks are told and not
 * followed: `readdirSync` with `recursive` follows them on Node 26, out of the folder and into /proc.
 */
export function* walk(folder: string): Generator<Dirent & { path: string }> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    yield Object.assign(entry, { path });
    if (entry.isDirectory()) yield* walk(path);
  }
}

/** Paths of the regular files below a folder. */
export function filesBelow(folder: string): string[] {
  return [...walk(folder)].filter((entry) => entry.isFile()).map(({ path }) => path);
}
