// Static deltas in files: who must have signed them, and what becomes of the commit.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { MemoryRange } from '../../../src/ostree/delta/byte-range.js';
import { parseSuperblock } from '../../../src/ostree/delta/superblock.js';
import { encodeVariant, variantOf } from '../../../src/ostree/gvariant/encode.js';
import { initRepository } from '../../../src/repository/init.js';
import { fixtureJson } from '../../support/fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';
import { writeInlineDelta } from '../../support/ostree/large-delta.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { scratch } from '../../support/scratch.js';

const MAGIC = Buffer.from('OSTSGNDT', 'latin1').readBigUInt64LE();
const noOpenssl = spawnSync('openssl', ['version']).error === undefined ? false : 'openssl is not installed';

/** A key pair of openssl, and what it signs. */
class Signer {
  readonly #folder: string;
  readonly publicKey: string;

  constructor(t: TestContext) {
    this.#folder = scratch(t);
    this.#openssl('genpkey', '-algorithm', 'ed25519', '-out', 'key');
    const der = this.#openssl('pkey', '-in', 'key', '-pubout', '-outform', 'DER');
    this.publicKey = der.subarray(-32).toString('base64');
  }

  sign(bytes: Buffer): Buffer {
    writeFileSync(join(this.#folder, 'message'), bytes);
    return this.#openssl('pkeyutl', '-sign', '-rawin', '-inkey', 'key', '-in', 'message');
  }

  /** A superblock in the value that ostree puts signed ones in. */
  wrap(superblock: Buffer, signed = superblock): Buffer {
    const signatures = [['ostree.sign.ed25519', variantOf('aay', [this.sign(signed)])]] as const;
    return encodeVariant('(taya{sv})', [MAGIC, superblock, signatures]);
  }

  #openssl(...words: string[]): Buffer {
    const { status, stdout, stderr } = spawnSync('openssl', words, { cwd: this.#folder });
    assert.equal(status, 0, stderr.toString());
    return stdout;
  }
}

function scene(t: TestContext) {
  const { commits } = fixtureJson<{ commits: Record<string, string> }>('ostree/deltas/case.json');
  const single = join(recordedRepositories(t, 'deltas'), 'single');
  const path = scratch(t);
  initRepository(path, { insecure: true });
  const run = (...words: string[]): ReturnType<typeof runCli> => runCli(['--repo', path, 'ostree', ...words]);
  const written = (bytes: Buffer): string => {
    const file = join(scratch(t), 'delta');
    writeFileSync(file, bytes);
    return file;
  };
  return { single, commit: commits['d/b']!, run, written };
}

test('a signed delta is taken with the key of its signer, and with no other', { skip: noOpenssl }, (t) => {
  const { single, commit, run, written } = scene(t);
  const [signer, other] = [new Signer(t), new Signer(t)];
  const superblock = readFileSync(join(single, 'b.delta'));
  // As ostree wraps them, with a signature of its own kind.
  const dummy = parseSuperblock(new MemoryRange(readFileSync(join(single, 'a-b.signed.delta'))));
  assert.deepEqual(
    dummy.signatures.map(([name]) => name),
    ['ostree.sign.dummy'],
  );
  const signed = written(signer.wrap(superblock));
  for (const [file, key] of [
    [join(single, 'b.delta'), signer],
    [signed, other],
    [written(signer.wrap(superblock, superblock.subarray(1))), signer],
  ] as const) {
    const { status, stdout, stderr } = run('apply-delta', file, '--verify-ed25519', key.publicKey);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^Error: the delta to commit [0-9a-f]{64} has (no )?Ed25519 signature/);
  }
  assert.match(run('images').stdout, /No ostree commits/);
  const { status, stdout, stderr } = run('apply-delta', signed, '--verify-ed25519', signer.publicKey);
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, new RegExp(`^commit  ${commit}$`, 'm'));
  // That the commit is here does not make another signature right.
  assert.equal(run('apply-delta', signed, '--verify-ed25519', other.publicKey).status, 1);
});

test('a commit that is bound to no ref gets no name when keys are given', { skip: noOpenssl }, (t) => {
  const { single, run, written } = scene(t);
  const signer = new Signer(t);
  const signed = written(signer.wrap(readFileSync(join(single, 'b.delta'))));
  const refused = run('apply-delta', signed, '--verify-ed25519', signer.publicKey, '--reference', 'd/c');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /was signed for ref d\/b, not for d\/c/);
});

test('a delta gives the commit a name, and an image whose xattrs work', (t) => {
  const { single, commit, run } = scene(t);
  const delta = join(single, 'b.delta');
  const nameless = run('apply-delta', delta, '--fix-xattrs');
  assert.equal(nameless.status, 2);
  assert.match(nameless.stderr, /--reference/);
  const json = (...words: string[]): Record<string, unknown> => {
    const { status, stdout, stderr } = run('apply-delta', delta, '--json', ...words);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const fixed = json('--fix-xattrs', '--reference', 'd/b');
  assert.deepEqual([fixed['tag'], fixed['commit'], fixed['delta_parts']], ['d/b:fixed-xattrs', commit, 1]);
  assert.ok((fixed['files'] as number) > 0);
  // What is kept otherwise is as good a base as the whole commit.
  const whole = json('--reference', 'd/b');
  assert.deepEqual([whole['tag'], whole['files'], whole['metadata']], ['d/b', fixed['files'], fixed['metadata']]);
  assert.deepEqual(json('--reference', 'other')['delta_parts'], null);
  assert.match(run('images').stdout, /other/);
});

test('a delta is applied to a commit that is here with fixed xattrs only', (t) => {
  const { single, run } = scene(t);
  const base = join(single, '../archive');
  const pulled = run('pull-local', base, 'd/a', '--fix-xattrs');
  assert.equal(pulled.status, 0, pulled.stderr);
  const { status, stdout, stderr } = run(
    'apply-delta',
    join(single, 'a-b.delta'),
    '--reference',
    'd/b',
    '--fix-xattrs',
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^tagged  d\/b:fixed-xattrs$/m);
});

test('a delta of 300 MB that has its parts in it is applied in 160 MiB of memory', (t) => {
  const folder = scratch(t);
  const [delta, repository] = [join(folder, 'delta'), join(folder, 'repository')];
  const commit = writeInlineDelta(delta, 10, 30e6);
  mkdirSync(repository);
  initRepository(repository, { insecure: true });
  // What the process itself says: of a child, the kernel counts what its parent had before.
  const ownStatus = "require('fs').readFileSync('/proc/self/status', 'latin1')";
  const hook = `process.on('exit', () => console.error(/VmHWM:\\s+(\\d+)/.exec(${ownStatus})[1]))`;
  writeFileSync(join(folder, 'peak.cjs'), hook);
  const { status, stdout, stderr } = runCli(['--repo', repository, 'ostree', 'apply-delta', delta], {
    env: { ...process.env, NODE_OPTIONS: `--require=${join(folder, 'peak.cjs')}` },
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, new RegExp(`^commit  ${commit}$`, 'm'));
  const peak = Number(/^\d+$/m.exec(stderr)?.[0]) / 1024;
  t.diagnostic(`${peak.toFixed(0)} MiB`);
  assert.ok(peak < 160, stderr);
});
