import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { sha256 } from '../../../src/ostree/object/checksum.js';
import { encodeCommit } from '../../../src/ostree/object/commit.js';
import { encodeDirMeta } from '../../../src/ostree/object/dirmeta.js';
import { encodeDirTree } from '../../../src/ostree/object/dirtree.js';
import { encodeHeader, encodeSizedHeader } from '../../../src/ostree/object/file-header.js';
import { NO_XATTRS, type Xattrs } from '../../../src/tree/tree.js';

/**
 * An ostree repository of mode archive.
 * @param commits files with their content, by ref and path
 * @param xattrs of files and folders, by path; names as objects have them
 * @returns the ids of the commits
 */
export function writeArchive(
  folder: string,
  commits: Readonly<Record<string, Readonly<Record<string, string | Buffer>>>>,
  xattrs: Readonly<Record<string, Xattrs>> = {},
): string[] {
  for (const name of ['objects', 'tmp', 'state', 'refs/heads']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'config'), '[core]\nrepo_version=1\nmode=archive-z2\n');
  const put = (id: string, extension: string, bytes: Buffer): string => {
    const path = join(folder, 'objects', id.slice(0, 2), `${id.slice(2)}.${extension}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return id;
  };
  const putMeta = (path: string): string => {
    const meta = encodeDirMeta({ uid: 0, gid: 0, mode: 0o40755, xattrs: xattrs[path] ?? NO_XATTRS });
    return put(sha256(meta), 'dirmeta', meta);
  };
  const putFile = (path: string, text: string | Buffer): string => {
    const content = Buffer.from(text);
    const header = { uid: 0, gid: 0, mode: 0o100644, target: '', xattrs: xattrs[path] ?? NO_XATTRS };
    const id = sha256(Buffer.concat([encodeHeader(header), content]));
    return put(
      id,
      'filez',
      Buffer.concat([encodeSizedHeader(header, BigInt(content.length)), deflateRawSync(content)]),
    );
  };
  const putTree = (path: string, files: readonly (readonly [string, string | Buffer])[]): string => {
    const here = files.filter(([name]) => name.startsWith(path)).map(([name]) => name.slice(path.length));
    const below = [...new Set(here.filter((name) => name.includes('/')).map((name) => name.split('/')[0]!))];
    const tree = encodeDirTree({
      files: files
        .filter(([name]) => name.startsWith(path) && !name.slice(path.length).includes('/'))
        .map(([name, text]) => ({ name: name.slice(path.length), id: putFile(name, text) })),
      folders: below.map((name) => ({
        name,
        tree: putTree(`${path}${name}/`, files),
        meta: putMeta(`${path}${name}`),
      })),
    });
    return put(sha256(tree), 'dirtree', tree);
  };
  return Object.entries(commits).map(([ref, files]) => {
    const commit = encodeCommit({
      metadata: [],
      parent: undefined,
      subject: ref,
      body: '',
      timestamp: 1000n,
      tree: putTree('', Object.entries(files)),
      meta: putMeta(''),
    });
    const id = put(sha256(commit), 'commit', commit);
    mkdirSync(dirname(join(folder, 'refs/heads', ref)), { recursive: true });
    writeFileSync(join(folder, 'refs/heads', ref), `${id}\n`);
    return id;
  });
}
