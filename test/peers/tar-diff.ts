import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MODULE = 'github.com/containers/tar-diff';
/** Later ones are not to be had as modules. It knows version 1 of the format. */
const VERSION = 'v0.4.1-0.20260415123852-8e7a7e1030f7';
const TAGS = 'exclude_graphdriver_btrfs,containers_image_openpgp';
const PROGRAMS = ['tar-diff', 'tar-patch'] as const;

/**
 * Builds the Go programs `tar-diff` and `tar-patch` in a folder's `bin`, once; it takes a minute.
 * @returns why not, when the language or the registry with the libraries is not there
 */
export function buildTarDiff(peers: string): { diff: string; patch: string } | { missing: string } {
  const [diff = '', patch = ''] = PROGRAMS.map((name) => join(peers, 'bin', name));
  if (existsSync(diff) && existsSync(patch)) return { diff, patch };
  const folder = join(peers, 'tar-diff');
  mkdirSync(folder, { recursive: true });
  const commands = PROGRAMS.map((name) => `${MODULE}/cmd/${name}`);
  writeFileSync(join(folder, 'go.mod'), `module tools\n\ngo 1.24\n\nrequire ${MODULE} ${VERSION}\n`);
  const imports = commands.map((path) => `import _ "${path}"\n`).join('');
  writeFileSync(join(folder, 'tools.go'), `//go:build tools\n\npackage tools\n\n${imports}`);
  const go = (...words: string[]): Buffer => execFileSync('go', words, { cwd: folder, stdio: 'pipe' });
  try {
    go('mod', 'tidy');
    go('build', '-tags', TAGS, '-o', join(peers, 'bin/'), ...commands);
    return { diff, patch };
  } catch (error) {
    const reason = (error as { stderr?: Buffer }).stderr?.toString() ?? String(error);
    return { missing: `tar-diff cannot be built: ${reason}` };
  }
}
