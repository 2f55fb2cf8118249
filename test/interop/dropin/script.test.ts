import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { before, test } from 'node:test';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { TemporaryFolder } from '../../support/filesystems.js';
import { cfsctl, whyNoPeers, type Answer } from '../peers.js';
import { makeLayout, makeRootfs } from './example.js';

const script = fileURLToPath(new URL('../../../../test/interop/dropin/script.sh', import.meta.url));
const skip = whyNoPeers();

/** Runs the script in a folder of its own. */
function runScript(program: string, path = process.env['PATH']): Answer {
  using folder = new TemporaryFolder();
  makeLayout(join(folder.path, 'layout'));
  makeRootfs(join(folder.path, 'rootfs'));
  return spawnSync(script, {
    cwd: folder.path,
    encoding: 'utf8',
    env: { ...process.env, PATH: path, CFSCTL: program, MOUNT: 'yes', RUST_BACKTRACE: '0' },
  });
}

let expected: Answer;
before(() => {
  if (!skip) expected = runScript(cfsctl);
});

test('a script prints the same with CFSCTL=cfsbridge', { skip }, () => {
  assert.equal(expected.status, 0, expected.stderr);
  const { status, stdout, stderr } = runScript(cfsbridge);
  assert.equal(stdout, expected.stdout, stderr);
  assert.equal(status, 0, stderr);
});

test('a script that calls cfsctl finds us by that name in PATH', { skip }, () => {
  using folder = new TemporaryFolder();
  mkdirSync(join(folder.path, 'bin'));
  symlinkSync(cfsbridge, join(folder.path, 'bin/cfsctl'));
  const path = `${join(folder.path, 'bin')}:${process.env['PATH']}`;
  const { status, stdout, stderr } = runScript('cfsctl', path);
  assert.equal(stdout, expected.stdout, stderr);
  assert.equal(status, 0, stderr);
  const version = spawnSync('cfsctl', ['--version'], { encoding: 'utf8', env: { ...process.env, PATH: path } });
  assert.match(version.stdout, /^cfsctl 0\.9\.4 \(cfsbridge \d+\.\d+\.\d+\)\n$/);
});
