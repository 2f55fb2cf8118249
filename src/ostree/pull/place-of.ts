import { showBytes, type ByteString } from '../../bytes.js';
import { DigestMismatchError } from '../../errors.js';
import { parseCommit } from '../object/commit.js';
import type { Checksum } from '../object/checksum.js';
import { parseDirTree } from '../object/dirtree.js';

/**
 * Which object an error is about. Files are verified in batches, so that it may be another one than was just added.
 * @param latest the one that was
 */
export function objectOf(error: unknown, latest: Checksum | undefined): Checksum | undefined {
  if (error instanceof DigestMismatchError) return error.expected;
  return /\bfile ([0-9a-f]{64})\b/.exec(error instanceof Error ? error.message : '')?.[1] ?? latest;
}

/**
 * Where a commit has an object first.
 * @param metadata gives the commits and dirtrees that are at hand
 * @returns a path, printable; undefined when nothing at hand leads to it
 */
export function placeOf(
  id: Checksum,
  commit: Checksum,
  metadata: (id: Checksum) => Buffer | undefined,
): string | undefined {
  const bytes = metadata(commit);
  if (bytes === undefined) return undefined;
  const { tree, meta } = parseCommit(bytes);
  if (id === tree || id === meta) return '/';
  const seen = new Set<Checksum>();
  const pending: { tree: Checksum; path: ByteString }[] = [{ tree, path: '' }];
  for (let at = pending.shift(); at !== undefined; at = pending.shift()) {
    const entries = seen.has(at.tree) ? undefined : metadata(at.tree);
    if (entries === undefined || at.tree === id) continue;
    seen.add(at.tree);
    const { files, folders } = parseDirTree(entries);
    const found =
      files.find((file) => file.id === id) ?? folders.find((folder) => folder.tree === id || folder.meta === id);
    if (found !== undefined) return showBytes(`${at.path}/${found.name}`);
    pending.push(...folders.map((folder) => ({ tree: folder.tree, path: `${at.path}/${folder.name}` })));
  }
  return undefined;
}
