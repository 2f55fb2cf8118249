import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Where packages of npm, Debian, Rust, Go and Python come from; which mirror a machine uses instead is its own matter.
 */
const HOSTS = new RegExp(
  [
    'registry[.]npmjs[.]org|registry[.]yarnpkg[.]com|registry[.]npmmirror[.]com|nodejs[.]org/(?:dist|download)|nodesource[.]com',
    '(?:deb|security|snapshot|archive|ftp[.a-z]*)[.]debian[.]org|(?:archive|security|ports)[.]ubuntu[.]com',
    '\\bcrates[.]io|rustup[.]rs',
    '(?:proxy|sum)[.]golang[.]org|goproxy[.](?:io|cn)',
    '\\bpypi[.](?:org|io)|pythonhosted[.]org',
  ].join('|'),
  'gi',
);

/** Not ours: what .gitignore names, and git's own. */
const ignored = new Set([
  '.git',
  ...readFileSync(join(root, '.gitignore'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/\/$/, '')),
]);

function* files(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (ignored.has(entry.name) || ignored.has(path)) continue;
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

test('no file names the host of a package registry', () => {
  const found: string[] = [];
  let looked = 0;
  for (const path of files('')) {
    looked++;
    for (const [host] of readFileSync(join(root, path), 'latin1').matchAll(HOSTS)) found.push(`${path}: ${host}`);
  }
  assert.ok(looked > 900, `only ${looked} files were looked at`);
  assert.deepEqual(found, []);
});

test('the lock file leaves open from where packages are fetched', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { resolved?: string }>;
  };
  const fixed = Object.entries(packages).filter(
    ([, { resolved }]) => resolved !== undefined && !resolved.startsWith('file:'),
  );
  assert.deepEqual(fixed, [], 'npm writes `resolved` unless omit-lockfile-registry-resolved is set, as in .npmrc');
});
