import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';

const refused: [string[], RegExp][] = [
  [['gc', '-r', '-n'], /option '-r, --root <name>' argument missing/],
  [['gc', '--root', '--dry-run'], /argument missing/],
  [['gc', '-nr', '-n'], /argument missing/],
  [['--repo', '--user', 'images'], /argument missing/],
  [['images', '--json', '--json'], /'--json' cannot be used multiple times/],
  [['gc', '-nn'], /cannot be used multiple times/],
  [['--hash=sha256', '--hash', 'sha512', 'images'], /cannot be used multiple times/],
  [['oci', 'dump', '@sha256:12', '--xattrs', 'keep-user-xattrs'], /Expected a digest after @/],
];
for (const [args, message] of refused)
  test(`refused: ${args.join(' ')}`, () => {
    const { status, stderr } = runCli(['--repo', '/nonexistent', ...args].slice(args[0]?.startsWith('--repo') ? 2 : 0));
    assert.match(stderr, message);
    assert.equal(status, 2);
  });

for (const args of [
  ['gc', '--root=-n'],
  ['gc', '-r-n'],
  ['gc', '-r', 'x', '--root', 'y', '-n'],
  ['cat', '--', '--json'],
])
  test(`understood, and there is no such repository: ${args.join(' ')}`, () => {
    assert.match(runCli(['--repo', '/nonexistent', ...args]).stderr, /opening repository \/nonexistent/);
  });
