import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TemporaryFolder } from '../../support/filesystems.js';
import { fixtureJson } from '../../support/fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';

test('init makes the meta.json that cfsctl makes, and says so', () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, 'deep/er');
  const made = runCli(['init', '--insecure', path]);
  assert.deepEqual(
    [made.status, made.stdout, made.stderr],
    [
      0,
      `Initialized composefs repository at ${path}\n  algorithm: fsverity-sha512-12\n  verity:    not required ` +
        '(insecure)\n',
      '',
    ],
  );
  interface Results {
    results: { sha512: { erofs_versions: { '1': { meta_json: unknown } } } };
  }
  const recorded = fixtureJson<Results>('cstor-small/images/alpha_v1/results.json').results.sha512.erofs_versions['1']
    .meta_json;
  assert.deepEqual(JSON.parse(readFileSync(join(path, 'meta.json'), 'utf8')), recorded);
  assert.equal(runCli(['--repo', path, 'init', '--insecure']).stdout, `Repository already initialized at ${path}\n`);
});

test('init refuses a repository that is different, unless --ensure says that any with the algorithm will do', () => {
  using folder = new TemporaryFolder();
  const init = (...args: string[]): ReturnType<typeof runCli> =>
    runCli(['--repo', folder.path, 'init', '--insecure', ...args]);
  assert.match(
    init('--algorithm', 'fsverity-sha256-12', '--erofs-version', '2').stdout,
    /algorithm: fsverity-sha256-12\n/,
  );
  const refused = init();
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /already initialized differently/);
  assert.equal(init('--ensure').status, 1);
  assert.match(init('--algorithm', 'fsverity-sha256-12', '--ensure').stdout, /\(existing configuration preserved\)\n$/);
});

test('init knows two algorithms', () => {
  using folder = new TemporaryFolder();
  const { status, stderr } = runCli(['init', '--algorithm', 'fsverity-md5-12', join(folder.path, 'new')]);
  assert.equal(status, 2);
  assert.match(stderr, /'fsverity-md5-12' is invalid/);
});
