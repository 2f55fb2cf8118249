// What is wrong with a containers-storage as files: every part of it has to belong to something.
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface StoreRecord {
  id: string;
  parent?: string;
  layer?: string;
  names?: string[];
  flags?: Record<string, unknown>;
  [more: string]: unknown;
}

/** The records of a store; none where there is no file. */
export function recordsOf(graphroot: string, kind: 'layers' | 'images'): StoreRecord[] {
  const path = join(graphroot, `overlay-${kind}/${kind}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as StoreRecord[]) : [];
}

/**
 * What no record tells of: parts of layers and images, and work that was begun; and layers that are marked as
 * unfinished, or lack a part. All by their paths, sorted.
 */
export function straysOf(graphroot: string): string[] {
  const names = (folder: string): string[] => {
    const path = join(graphroot, folder);
    return existsSync(path) ? readdirSync(path).map((name) => `${folder}/${name}`) : [];
  };
  const [layers, images] = (['layers', 'images'] as const).map(
    (kind) => new Set(recordsOf(graphroot, kind).map(({ id }) => id)),
  ) as [Set<string>, Set<string>];
  const unknown = (folder: string, known: ReadonlySet<string>): string[] =>
    names(folder).filter((path) => {
      const id = /\/([0-9a-f]{64})[^/]*$/.exec(path)?.[1];
      return id !== undefined && !known.has(id);
    });
  const lacking = [...layers]
    .flatMap((id) => [`overlay/${id}/diff`, `overlay/${id}/link`, `overlay-layers/${id}.tar-split.gz`])
    .filter((path) => !existsSync(join(graphroot, path)));
  return [
    ...lacking.map((path) => `lacks ${path}`),
    ...recordsOf(graphroot, 'layers').flatMap(({ id, flags }) =>
      flags?.['incomplete'] === true ? [`unfinished layer ${id}`] : [],
    ),
    ...unknown('overlay', layers),
    ...unknown('overlay-layers', layers),
    ...unknown('overlay-images', images),
    ...names('overlay/l').filter((path) => !layers.has(readlinkSync(join(graphroot, path)).split('/')[1] ?? '')),
    ...['overlay/tempdirs', 'overlay/staging', 'overlay-layers/tmp'].flatMap(names),
    ...['overlay-layers', 'overlay-images'].flatMap(names).filter((path) => /\/\.?tmp.|\.json.+/.test(path)),
  ].sort();
}
