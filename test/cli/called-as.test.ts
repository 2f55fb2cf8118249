// Called as cfsctl, the exit status of checks that print JSON is cfsctl's.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { writeLayout } from '../support/images/oci-layout.js';
import { filesBelow } from '../support/walk.js';
import { tarOf } from '../support/images/source-layout.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

let folder: string;
let repository: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'called-as-'));
  repository = join(folder, 'repository');
  writeLayout(join(folder, 'layout'), [tarOf({ file: 'content '.repeat(50) })]);
  symlinkSync(cfsbridge, join(folder, 'cfsctl'));
  runCli(['--repo', repository, 'init', '--insecure']);
  assert.equal(runCli(['--repo', repository, 'oci', 'pull', `oci:${folder}/layout:image`, 'a']).status, 0);
  for (const path of filesBelow(join(repository, 'objects'))) truncateSync(path, 1);
});
after(() => rmSync(folder, { recursive: true }));

/** [called as cfsbridge, called as cfsctl] */
const statuses: [args: string[], status: [number, number]][] = [
  [
    ['fsck', '--json'],
    [1, 0],
  ],
  [
    ['oci', 'fsck', '--json'],
    [1, 0],
  ],
  [
    ['oci', 'fsck', '--json', 'a'],
    [1, 0],
  ],
  [['fsck'], [1, 1]],
  [
    ['oci', 'fsck'],
    [1, 1],
  ],
  [
    ['oci', 'fsck', 'a'],
    [1, 1],
  ],
  [
    ['fsck', '--repair', '--json'],
    [1, 1],
  ],
];
for (const [args, expected] of statuses)
  test(args.join(' '), () => {
    const answers = [cfsbridge, join(folder, 'cfsctl')].map((program) =>
      spawnSync(program, ['--repo', repository, ...args], { encoding: 'utf8' }),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      expected,
      answers.map(({ stderr }) => stderr).join(),
    );
    if (expected[1] !== 0) return;
    assert.equal((JSON.parse(answers[1]?.stdout ?? '') as { ok: boolean }).ok, false);
    assert.equal(answers[0]?.stdout, answers[1]?.stdout);
    assert.equal(answers[1]?.stderr, '');
  });
