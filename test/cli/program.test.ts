import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

const usage: [string[], number, RegExp][] = [
  [[], 2, /Usage: cfsbridge/],
  [['oci'], 2, /Usage: cfsbridge oci/],
  [['oci', 'layer', 'sha256:12'], 2, /64 lower-case hex digits/],
  [['oci', 'inspect', 'x', '--manifest', '--config'], 2, /cannot be used with/],
  [['mount', 'x', '/mnt', '--upperdir', '/tmp'], 2, /require each other/],
  [['mount', 'x', '/mnt', '--read-write'], 2, /requires '--upperdir'/],
  [['nonsense'], 2, /unknown command 'nonsense'/],
  [['help', 'oci', 'nonsense'], 2, /unknown command 'nonsense'/],
  [['--repo', '', 'images'], 2, /Expected a path/],
  [['init', ''], 2, /Expected a path/],
  [['compute-id', ''], 2, /Expected a path/],
  [['completion'], 2, /missing required argument 'shell'/],
  [['completion', 'csh'], 2, /Allowed choices are bash, zsh, fish/],
  [['--hash', 'md5', 'completion', 'bash'], 2, /Allowed choices are sha256, sha512/],
  [['--erofs-version', '3', 'completion', 'bash'], 2, /Allowed choices are 0, 1, 2/],
  [['--repo', '/x', '--user', 'completion', 'bash'], 2, /cannot be used with/],
];

for (const [args, status, message] of usage)
  test(`wrong usage ends with status 2: cfsbridge ${args.join(' ')}`, () => {
    const result = runCli(args);
    assert.equal(result.status, status);
    assert.match(result.stderr, message);
    assert.equal(result.stdout, '');
  });

test('help and version go to standard output with status 0', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const printed = runCli(['--version']);
  assert.deepEqual([printed.status, printed.stdout, printed.stderr], [0, `cfsbridge ${version}\n`, '']);
  for (const args of [['--help'], ['help', 'completion']]) {
    const { status, stdout } = runCli(args);
    assert.equal(status, 0);
    assert.match(stdout, /Usage: cfsbridge[^]*Example/);
  }
});

test('help knows the commands of commands', () => {
  for (const args of [
    ['help', 'oci', 'pull'],
    ['oci', 'help', 'pull'],
    ['oci', 'pull', '--help'],
  ])
    assert.match(runCli(args).stdout, /^Usage: cfsbridge oci pull /);
  assert.match(runCli(['help', 'list-images']).stdout, /^Usage: cfsbridge images/);
});

test('arguments that are no UTF-8 are refused instead of changed', () => {
  const { status, stderr } = shell(`"$0" --repo $'/bad\\xff' images`);
  assert.match(stderr, /invalid UTF-8/);
  assert.equal(status, 2);
  assert.match(shell('"$0" --repo /good\ufffd images').stderr, /no repository at/);
});

test('the command works through a symlink and from another folder', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cfsbridge-bin-'));
  try {
    symlinkSync(cfsbridge, join(dir, 'linked'));
    const { status, stdout } = spawnSync(join(dir, 'linked'), ['--version'], { encoding: 'utf8', cwd: dir });
    assert.equal(status, 0);
    assert.match(stdout, /^cfsbridge \d+\.\d+\.\d+\n$/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a reader that goes away ends the command quietly', () => {
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', `"$0" completion fish | true; exit "\${PIPESTATUS[0]}"`, cfsbridge],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(stderr, '');
  assert.equal(status, 141);
});

const shell = (script: string): { status: number | null; stderr: string } =>
  spawnSync('bash', ['-c', script, cfsbridge], { encoding: 'utf8' });

for (const args of ['completion fish', '--help', '--version'])
  test(`results that cannot be written are a failure with a reason: ${args}`, () => {
    const { status, stderr } = shell(`"$0" ${args} >/dev/full`);
    assert.equal(stderr, 'Error: cannot write to standard output: no space left on device\n');
    assert.equal(status, 1);
  });

test('talk that cannot be written changes nothing', () => {
  assert.equal(shell('"$0" nonsense 2>/dev/full').status, 2);
  assert.equal(shell('"$0" --repo /nonexistent oci images 2>/dev/full').status, 1);
});
