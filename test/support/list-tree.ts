import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';
import { execFileSync } from 'node:child_process';

/** What a mounted tree shows of one name; `xattrs` by name, values in base64. */
export interface Shown {
  mode: string;
  owner: string;
  size: number;
  /** nanoseconds */
  mtime: bigint;
  device: string;
  /** SHA-256 of a file's content */
  content: string;
  target: string;
  /** first name of the same inode */
  sameAs: string;
  xattrs: Record<string, string>;
}

const bytes = (path: string): Buffer => Buffer.from(path, 'latin1');

/** Everything below a directory, by its path (bytes) from there; the directory itself is ''. */
export function listTree(root: string): Map<string, Shown> {
  const shown = new Map<string, Shown>();
  const inodes = new Map<bigint, string>();
  const xattrs = listXattrs(root);
  const visit = (path: string): void => {
    const stat = lstatSync(bytes(root + path), { bigint: true });
    let sameAs = path;
    if (!stat.isDirectory()) {
      sameAs = inodes.get(stat.ino) ?? path;
      inodes.set(stat.ino, sameAs);
    }
    shown.set(path, describe(root, path, stat, sameAs, xattrs.get(path) ?? {}));
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(bytes(`${root}${path}/`), 'latin1').sort()) visit(`${path}/${name}`);
  };
  visit('');
  return shown;
}

function describe(
  root: string,
  path: string,
  stat: BigIntStats,
  sameAs: string,
  xattrs: Record<string, string>,
): Shown {
  const file = bytes(root + path);
  return {
    mode: stat.mode.toString(8),
    owner: `${stat.uid}:${stat.gid}`,
    size: stat.isDirectory() ? 0 : Number(stat.size),
    mtime: stat.mtimeNs,
    device: stat.isCharacterDevice() || stat.isBlockDevice() ? stat.rdev.toString(16) : '',
    content: stat.isFile() ? createHash('sha256').update(readFileSync(file)).digest('hex') : '',
    target: stat.isSymbolicLink() ? readlinkSync(file, 'latin1') : '',
    sameAs,
    xattrs,
  };
}

/** Node cannot read xattrs; Python can, and knows nothing of ours. */
function listXattrs(root: string): Map<string, Record<string, string>> {
  const script = `
import base64, json, os, sys
root = os.fsencode(sys.argv[1])
found = {}
for folder, folders, files in os.walk(root):
    for path in [folder] + [os.path.join(folder, name) for name in folders + files]:
        names = os.listxattr(path, follow_symlinks=False)
        if names:
            values = {name: base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode() for name in names}
            found[path[len(root):].decode('latin1')] = values
print(json.dumps(found))
`;
  const output = execFileSync('python3', ['-c', script, root], { encoding: 'utf8', maxBuffer: 64 << 20 });
  return new Map(Object.entries(JSON.parse(output) as Record<string, Record<string, string>>));
}
