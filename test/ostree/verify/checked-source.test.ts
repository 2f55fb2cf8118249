import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { initRepository } from '../../../src/repository/init.js';
import { runCli } from '../../support/cli/run-cli.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';

test('a repository on this machine is held to the same keys, by either command', (t) => {
  const signed = recordedRepositories(t, 'signatures');
  const repository = `${signed}/composefs`;
  initRepository(repository, { insecure: true });
  const file = `${signed}/keys/ed25519-one.pub`;
  const key = readFileSync(file, 'latin1').trim();
  for (const [command, path] of [
    ['pull-local', `${signed}/archive`],
    ['pull', `file://${signed}/archive`],
  ] as const) {
    const pull = (...args: string[]): ReturnType<typeof runCli> =>
      runCli(['--repo', repository, 'ostree', command, path, ...args]);
    const refused = pull('sig/unsigned', '--verify-ed25519', file);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /has no Ed25519 signature/);
    assert.equal(pull('sig/wrong', '--verify-ed25519', key).status, 1);
    const taken = pull('sig/ed', '--verify-ed25519', key);
    assert.equal(taken.status, 0, taken.stderr);
    assert.doesNotMatch(taken.stderr, /not looked at/);
    assert.match(pull('sig/ed').stderr, /^Signatures are not looked at/m);
    assert.match(pull('sig/ed', '--verify-ed25519', 'abc').stderr, /abc/);
  }
});
