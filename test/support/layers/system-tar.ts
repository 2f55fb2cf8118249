import { dirname } from 'node:path';
import { END, header, padded } from './make-tar.js';

/** The tar of a bootable system with these files; contents by path, latin1 strings or bytes, `null` for a symlink. */
export function systemTar(files: Readonly<Record<string, string | Buffer | null>>): Buffer {
  const parts: Buffer[] = [];
  const made = new Set<string>();
  const makeFolders = (path: string): void => {
    if (path === '.' || made.has(path)) return;
    makeFolders(dirname(path));
    made.add(path);
    parts.push(header({ name: `${path}/`, type: '5', mode: 0o755, mtime: 1e9 }));
  };
  for (const path of ['usr', 'boot', 'sysroot']) makeFolders(path);
  for (const [name, content] of Object.entries(files)) {
    if (name.endsWith('/')) {
      makeFolders(name.slice(0, -1));
      continue;
    }
    makeFolders(dirname(name));
    if (content === null) parts.push(header({ name, type: '2', link: 'target' }));
    else
      parts.push(header({ name, size: content.length, mode: 0o644 }), padded(Buffer.from(content as string, 'latin1')));
  }
  return Buffer.concat([...parts, END]);
}
