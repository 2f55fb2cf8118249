import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cfsbridge } from '../support/cli/run-cli.js';
import { listTree } from '../support/list-tree.js';

// list-images.program.js REPOSITORY IMAGE...: run in a mount namespace of its own; mounts images on an unseen folder
// and prints as JSON what each of them shows. Times are printed as text.

const [, , repository = '', ...images] = process.argv;
const folder = mkdtempSync(join(tmpdir(), 'cfsbridge-list-'));
execFileSync('mount', ['-t', 'tmpfs', 'none', folder]);
const shown = images.map((image) => {
  execFileSync(cfsbridge, ['--repo', repository, 'oci', 'mount', image, folder]);
  const tree = [...listTree(folder)];
  execFileSync('umount', [folder]);
  return [image, tree];
});
execFileSync('umount', [folder]);
execFileSync('rmdir', [folder]);
process.stdout.write(JSON.stringify(shown, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)));
