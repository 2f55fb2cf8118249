// Signatures of OpenPGP, verified by gpgv: those of fixtures/policy, which gpg made.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkPolicy, readPolicy } from '../../../src/registry/policy/policy.js';
import { dockerScopes } from '../../../src/registry/policy/scopes.js';
import { parseName } from '../../../src/registry/policy/signed-identity.js';
import { parseSignature } from '../../../src/registry/signatures/signature.js';
import { fixture } from '../../support/fixtures.js';
import { scratch } from '../../support/scratch.js';

const folder = fileURLToPath(new URL('../../../../fixtures/policy', import.meta.url));
const skip = spawnSync('gpgv', ['--version']).error ? 'gpgv is not installed' : false;
const read = (name: string): Buffer => fixture(`policy/${name}`);
const IMAGE = 'reg.test/x:1';

async function check(
  t: TestContext,
  rule: object,
  signatures: readonly string[],
  { image = IMAGE, env = { PATH: process.env['PATH'] } as NodeJS.ProcessEnv } = {},
): Promise<void> {
  const json = { default: [{ type: 'signedBy', keyType: 'GPGKeys', ...rule }] };
  const root = scratch(t, { 'etc/containers/policy.json': JSON.stringify(json) });
  const surroundings = { env, uid: 0, home: '/nowhere', systemRoot: root };
  const policy = readPolicy(surroundings);
  assert.ok(policy);
  await checkPolicy(
    policy,
    {
      subject: { transport: 'docker', scopes: dockerScopes(image), name: parseName(image), shown: image },
      manifest: read('manifest.json'),
      signatures: async () => signatures.map((name) => parseSignature(read(`signatures/${name}`), name)),
    },
    { surroundings },
  );
}

const VENDOR = { keyPath: join(folder, 'vendor.asc') };
const KEY = /of another key, its key has expired, or the statement was changed/;
const ODD = /not about an image/;
const CASES: [signature: string, key: string, problem: RegExp | undefined][] = [
  ['good', 'vendor', undefined],
  ['good-uncompressed', 'vendor', undefined],
  ['sha512', 'vendor', undefined],
  ['optional-more', 'vendor', undefined],
  ['subkey', 'subkey', undefined],
  ['good', 'stranger', KEY],
  ['stranger', 'vendor', KEY],
  ['subkey', 'vendor', KEY],
  ['changed', 'vendor', KEY],
  ['expired-key', 'expired', KEY],
  ['expired-signature', 'vendor', KEY],
  ['revoked', 'revoked', KEY],
  ['two-signers', 'vendor', KEY],
  ['detached', 'vendor', KEY],
  ['bomb', 'vendor', KEY],
  ['unsigned', 'vendor', KEY],
  ['unsigned-and-signed', 'vendor', KEY],
  ['other-digest', 'vendor', /about another image/],
  ['other-name', 'vendor', /names the image "reg\.test\/y:1", which is another name/],
  ['no-tag', 'vendor', /another name/],
  ['other-type', 'vendor', ODD],
  ['optional-null', 'vendor', ODD],
  ['fraction', 'vendor', ODD],
  ['creator-number', 'vendor', ODD],
  ['unknown-key', 'vendor', ODD],
  ['repeated-key', 'vendor', ODD],
  ['no-json', 'vendor', ODD],
];
for (const [signature, key, problem] of CASES) {
  test(`${signature} by the key ${key} is ${problem ? 'refused' : 'good'}`, { skip }, async (t) => {
    const checked = check(t, { keyPath: join(folder, `${key}.asc`) }, [signature]);
    if (problem === undefined) await checked;
    else await assert.rejects(checked, { code: 'POLICY', message: problem });
  });
}

for (const signature of ['armored', 'cleartext'])
  test(`${signature} is no signature as they are kept`, () =>
    assert.throws(() => parseSignature(read(`signatures/${signature}`), 'it'), {
      code: 'SIGNATURE',
      message: 'it is no signature',
    }));

test('two signatures of one message are refused, even if both are good', { skip }, (t) =>
  assert.rejects(check(t, { keyPaths: ['vendor', 'subkey'].map((key) => join(folder, `${key}.asc`)) }, ['two-good']), {
    code: 'POLICY',
    message: KEY,
  }),
);

test('of several signatures one good one is enough, and what is wrong with all is told', { skip }, async (t) => {
  await check(t, VENDOR, ['changed', 'stranger', 'good']);
  await assert.rejects(check(t, VENDOR, ['changed', 'other-digest', 'other-name']), {
    code: 'POLICY',
    message: /statement was changed; a signed statement is about another image; a signed statement names the image/,
  });
  await assert.rejects(check(t, VENDOR, []), {
    code: 'POLICY',
    message: /"signedBy" for everything: the image has no/,
  });
});

test('keys come with and without armor, several in a file or list, and in the policy', { skip }, async (t) => {
  await check(t, { keyPath: join(folder, 'vendor.gpg') }, ['good']);
  await check(t, { keyPaths: [join(folder, 'stranger.asc'), join(folder, 'vendor.gpg')] }, ['good']);
  await check(t, { keyData: read('vendor.asc').toString('base64') }, ['good']);
  await check(t, { keyData: read('vendor.gpg').toString('base64') }, ['good']);
  const both = Buffer.concat([Buffer.from('the keys of the vendor\n'), read('stranger.asc'), read('vendor.asc')]);
  await check(t, { keyData: both.toString('base64') }, ['good']);
  const windows = read('vendor.asc').toString('latin1').replaceAll('\n', '\r\n');
  await check(t, { keyData: Buffer.from(windows).toString('base64') }, ['good']);
});

test('files that hold no public key are errors', { skip }, async (t) => {
  const damaged = read('vendor.asc').toString('latin1').replace(/^mDM/m, 'mDN');
  const bad: [data: string | Buffer, message: RegExp][] = [
    ['nothing', /the key in the policy holds no OpenPGP public key/],
    [read('signatures/good'), /holds no OpenPGP public key/],
    [damaged, /checksum of a key is wrong/],
  ];
  for (const [data, message] of bad)
    await assert.rejects(check(t, { keyData: Buffer.from(data).toString('base64') }, ['good']), {
      code: 'BAD_CONFIG',
      message,
    });
  await assert.rejects(check(t, { keyPath: '/nowhere/key.asc' }, ['good']), {
    code: 'NOT_FOUND',
    message: /the policy names the key \/nowhere\/key\.asc, which does not exist/,
  });
});

test('a signature of a name is one for another image when the rule says so', { skip }, async (t) => {
  const rule = {
    ...VENDOR,
    signedIdentity: { type: 'remapIdentity', prefix: 'mirror.test', signedPrefix: 'reg.test' },
  };
  await check(t, rule, ['good'], { image: 'mirror.test/x:1' });
  await assert.rejects(check(t, VENDOR, ['good'], { image: 'mirror.test/x:1' }), { code: 'POLICY' });
});

test('without gpgv the rule is refused, and the message says what to install', async (t) =>
  assert.rejects(check(t, VENDOR, ['good'], { env: { PATH: '/nowhere' } }), {
    code: 'POLICY',
    message: /"signedBy", which takes the program gpgv to verify: install gpgv/,
  }));

test('it works with an empty environment', { skip }, (t) => check(t, VENDOR, ['good'], { env: {} }));
