import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import type { PolicySubject } from '../../../src/registry/policy/image-to-check.js';
import { checkPolicy, readPolicy } from '../../../src/registry/policy/policy.js';
import { dockerScopes, pathScopes } from '../../../src/registry/policy/scopes.js';
import { parseName } from '../../../src/registry/policy/signed-identity.js';
import { SIGNATURE_ANNOTATION, STATEMENT_TYPE, type Signature } from '../../../src/registry/signatures/signature.js';
import { digestLike } from '../../../src/spec/manifest.js';
import { parseRegistryReference, showReference } from '../../../src/spec/reference.js';
import { scratch } from '../../support/scratch.js';

const MANIFEST = Buffer.from('{}');
const DIGEST = digestLike('sha256:', MANIFEST);
const OTHER = `sha256:${'cd'.repeat(32)}`;
const ACCEPT = { type: 'insecureAcceptAnything' };
const REJECT = { type: 'reject' };

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const strangers = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const data = (key: KeyObject): string => Buffer.from(pem(key)).toString('base64');
const SIGNED = { type: 'sigstoreSigned', keyData: data(keys.publicKey) };

function statement(name: string, digest = DIGEST, type = 'cosign container image signature'): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: { identity: { 'docker-reference': name }, image: { 'docker-manifest-digest': digest }, type },
      optional: null,
    }),
  );
}

function signed(bytes: Buffer, key = keys.privateKey): Signature {
  return withSignature(bytes, sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, key));
}

function withSignature(payload: Buffer, signature: Buffer): Signature {
  const annotations = { [SIGNATURE_ANNOTATION]: signature.toString('base64') };
  return { kind: 'sigstore', mediaType: STATEMENT_TYPE, payload, annotations };
}

function dockerImage(reference: string): PolicySubject {
  const shown = showReference(parseRegistryReference(reference));
  return { transport: 'docker', scopes: dockerScopes(shown), name: parseName(shown), shown };
}

async function check(
  t: TestContext,
  json: unknown,
  image: string | PolicySubject,
  signatures: readonly Signature[] = [],
  requireSigned = false,
): Promise<void> {
  const root = scratch(t, { 'etc/containers/policy.json': JSON.stringify(json), 'key.pub': pem(keys.publicKey) });
  const policy = readPolicy({ env: {}, uid: 0, home: `${root}/home`, systemRoot: root });
  assert.ok(policy);
  await checkPolicy(
    policy,
    {
      subject: typeof image === 'string' ? dockerImage(image) : image,
      manifest: MANIFEST,
      signatures: async () => signatures,
    },
    { requireSigned },
  );
}

const SCOPES = {
  default: [REJECT],
  transports: {
    docker: {
      '': [SIGNED],
      'reg.test': [ACCEPT],
      'reg.test/bad': [REJECT],
      'reg.test/bad/good': [ACCEPT],
      'reg.test/bad/good:evil': [REJECT],
      '*.wild.test': [ACCEPT],
      'docker.io/library/debian': [ACCEPT],
    },
  },
};
const DECIDED: [reference: string, problem: RegExp | undefined][] = [
  ['reg.test/x', undefined],
  ['reg.test/bad', /"reject" for reg\.test\/bad$/],
  ['reg.test/bad/x:1', /"reject" for reg\.test\/bad$/],
  ['reg.test/bad/good:1', undefined],
  ['reg.test/bad/good:evil', /"reject" for reg\.test\/bad\/good:evil$/],
  ['reg.test/badge', undefined],
  ['a.b.wild.test/x', undefined],
  ['a.wild.test:5000/x', undefined],
  ['wild.test/x', /"sigstoreSigned" for all registries: the image has no signature/],
  ['debian', undefined],
  ['other.test/x', /"sigstoreSigned" for all registries/],
];
for (const [reference, problem] of DECIDED) {
  test(`${reference} is ${problem ? 'refused' : 'let in'}`, async (t) => {
    if (problem === undefined) await check(t, SCOPES, reference);
    else await assert.rejects(check(t, SCOPES, reference), { code: 'POLICY', message: problem });
  });
}

test('the default counts where nothing is said of registries', async (t) => {
  await assert.rejects(check(t, { default: [REJECT], transports: { dir: { '': [ACCEPT] } } }, 'reg.test/x'), {
    code: 'POLICY',
    message: /"reject" for everything/,
  });
  await check(t, { default: [ACCEPT] }, 'reg.test/x');
});

test('all rules of a list count', async (t) => {
  await assert.rejects(check(t, { default: [ACCEPT, REJECT] }, 'reg.test/x'), { code: 'POLICY' });
});

const NAMED: [name: string, rule: object, message: RegExp][] = [
  [
    'X.509',
    { type: 'signedBy', keyType: 'X509Certificates', keyPath: '/key' },
    /keyType X509Certificates.*not verified/,
  ],
  [
    'signedBaseLayer',
    { type: 'signedBaseLayer', baseLayerIdentity: { type: 'matchExact' } },
    /"signedBaseLayer" .*not/,
  ],
  ['fulcio', { type: 'sigstoreSigned', fulcio: {} }, /"sigstoreSigned".* with fulcio/],
  ['rekor', { ...SIGNED, rekorPublicKeyData: 'x' }, /with rekorPublicKeyData/],
  ['pki', { type: 'sigstoreSigned', pki: {} }, /with pki/],
];
for (const [name, rule, message] of NAMED) {
  test(`what is not verified here is refused by name: ${name}`, async (t) =>
    assert.rejects(check(t, { default: [rule] }, 'reg.test/x', [signed(statement('reg.test/x:latest'))]), {
      code: 'POLICY',
      message,
    }));
}

const STATEMENTS: [name: string, reference: string, signature: Signature, problem: RegExp | undefined][] = [
  ['the same name', 'reg.test/x:1', signed(statement('reg.test/x:1')), undefined],
  ['another tag', 'reg.test/x:2', signed(statement('reg.test/x:1')), /names the image "reg\.test\/x:1"/],
  ['another tag, when a digest is asked for', `reg.test/x@${DIGEST}`, signed(statement('reg.test/x:1')), undefined],
  ['another repository', `reg.test/x@${DIGEST}`, signed(statement('reg.test/y:1')), /another name/],
  ['no tag', 'reg.test/x:latest', signed(statement('reg.test/x')), /another name/],
  ['another digest', 'reg.test/x:1', signed(statement('reg.test/x:1', OTHER)), /about another image/],
  [
    'another kind of statement',
    'reg.test/x:1',
    signed(statement('reg.test/x:1', DIGEST, 'atomic container signature')),
    /not about an image/,
  ],
  ['what is no JSON', 'reg.test/x:1', signed(Buffer.from('x')), /not about an image/],
  ['a name that is none', 'reg.test/x:1', signed(statement('\x1b[2J')), /"\\\\x1b\[2J"/],
  ['another key', 'reg.test/x:1', signed(statement('reg.test/x:1'), strangers.privateKey), /another key/],
  [
    'no signature at all',
    'reg.test/x:1',
    withSignature(statement('reg.test/x:1'), Buffer.from('nothing')),
    /another key/,
  ],
  [
    'a statement changed later',
    'reg.test/x:1',
    { ...signed(statement('reg.test/x:2')), payload: statement('reg.test/x:1') } as Signature,
    /was changed/,
  ],
];
for (const [name, reference, signature, problem] of STATEMENTS) {
  test(`a signature with ${name} is ${problem ? 'refused' : 'good'}`, async (t) => {
    const checked = check(t, { default: [SIGNED] }, reference, [signature]);
    if (problem === undefined) await checked;
    else await assert.rejects(checked, { code: 'POLICY', message: problem });
  });
}

test('one good signature is enough, and one is needed', async (t) => {
  await check(t, { default: [SIGNED] }, 'reg.test/x:1', [
    signed(statement('reg.test/x:1'), strangers.privateKey),
    signed(statement('reg.test/x:1')),
  ]);
  await assert.rejects(check(t, { default: [SIGNED] }, 'reg.test/x:1'), {
    code: 'POLICY',
    message: /has no signature/,
  });
});

const IDENTITIES: [identity: object, asked: string, name: string, good: boolean][] = [
  [{ type: 'matchRepository' }, 'reg.test/x:2', 'reg.test/x:1', true],
  [{ type: 'matchRepository' }, 'reg.test/x:2', 'reg.test/x', true],
  [{ type: 'matchExact' }, `reg.test/x@${DIGEST}`, 'reg.test/x:1', false],
  [{ type: 'matchExact' }, `reg.test/x@${DIGEST}`, `reg.test/x@${DIGEST}`, true],
  [{ type: 'matchRepoDigestOrExact' }, `reg.test/x@${DIGEST}`, 'reg.test/x', false],
  [{ type: 'exactReference', dockerReference: 'debian:12' }, 'reg.test/x:1', 'docker.io/library/debian:12', true],
  [
    { type: 'remapIdentity', prefix: 'reg.test', signedPrefix: 'up.test' },
    'reg.test:5000/x:1',
    'up.test:5000/x:1',
    false,
  ],
  [{ type: 'remapIdentity', prefix: 'reg.test/x', signedPrefix: 'up.test/y' }, 'reg.test/x:1', 'up.test/y:1', true],
  [{ type: 'remapIdentity', prefix: 'reg.test', signedPrefix: 'up.test' }, `reg.test/x@${DIGEST}`, 'up.test/x:1', true],
  [{ type: 'matchExact' }, 'reg.test/x:1', 'reg.test/x:1', true],
  [{ type: 'exactReference', dockerReference: 'up.test/x:1' }, 'reg.test/x:1', 'up.test/x:1', true],
  [{ type: 'exactReference', dockerReference: 'up.test/x:1' }, 'reg.test/x:1', 'reg.test/x:1', false],
  [{ type: 'exactRepository', dockerRepository: 'up.test/x' }, 'reg.test/y:1', 'up.test/x:7', true],
  [
    { type: 'remapIdentity', prefix: 'reg.test/mirror', signedPrefix: 'up.test' },
    'reg.test/mirror/x:1',
    'up.test/x:1',
    true,
  ],
  [
    { type: 'remapIdentity', prefix: 'reg.test/mirror', signedPrefix: 'up.test' },
    'reg.test/mirrors/x:1',
    'up.test/x:1',
    false,
  ],
];
for (const [signedIdentity, asked, name, good] of IDENTITIES) {
  test(`${JSON.stringify(signedIdentity)}: ${asked} signed as ${name}`, async (t) => {
    const checked = check(t, { default: [{ ...SIGNED, signedIdentity }] }, asked, [signed(statement(name))]);
    if (good) await checked;
    else await assert.rejects(checked, { code: 'POLICY' });
  });
}

for (const type of ['rsa', 'ed25519'] as const) {
  test(`a signature with a key of ${type}`, async (t) => {
    const pair = type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
    const rule = { type: 'sigstoreSigned', keyDatas: [data(strangers.publicKey), data(pair.publicKey)] };
    await check(t, { default: [rule] }, 'reg.test/x:1', [signed(statement('reg.test/x:1'), pair.privateKey)]);
  });
}

test('keys that are none, and files that are not there', async (t) => {
  const signature = [signed(statement('reg.test/x:1'))];
  const secret = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  for (const key of ['nothing', secret, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n']) {
    await assert.rejects(
      check(
        t,
        { default: [{ type: 'sigstoreSigned', keyData: Buffer.from(key).toString('base64') }] },
        'reg.test/x:1',
        signature,
      ),
      { code: 'BAD_CONFIG' },
    );
  }
  await assert.rejects(
    check(t, { default: [{ type: 'sigstoreSigned', keyPath: '/nowhere/key.pub' }] }, 'reg.test/x:1', signature),
    { code: 'NOT_FOUND', message: /\/nowhere\/key\.pub/ },
  );
});

test("the user's policy counts before the system's; there need not be one", (t) => {
  const files = {
    'home/.config/containers/policy.json': JSON.stringify({ default: [REJECT] }),
    'etc/containers/policy.json': JSON.stringify({ default: [ACCEPT] }),
    'own.json': JSON.stringify({ default: [SIGNED] }),
  };
  const root = scratch(t, files);
  const surroundings = { env: {}, uid: 0, home: `${root}/home`, systemRoot: root };
  assert.equal(readPolicy(surroundings)?.default[0]?.type, 'reject');
  assert.equal(readPolicy(surroundings, `${root}/own.json`)?.default[0]?.type, 'sigstoreSigned');
  assert.equal(readPolicy({ ...surroundings, home: '/nowhere', systemRoot: '/nowhere' }), undefined);
});

const withIdentity = (signedIdentity: object): string =>
  JSON.stringify({ default: [{ type: 'sigstoreSigned', keyPath: '/a', signedIdentity }] });
const ACCEPT_ALL = JSON.stringify([ACCEPT]);
const VOID: [what: string, json: string, message?: RegExp][] = [
  ['what is no JSON', 'nothing'],
  ['nothing', '{}'],
  ['no rule', '{"default":[]}'],
  ['no rule for a scope', `{"default":${ACCEPT_ALL},"transports":{"docker":{"":[]}}}`],
  ['a rule without a type', '{"default":[{}]}'],
  [
    'an unknown rule',
    `{"default":${ACCEPT_ALL},"transports":{"docker":{"x":[{"type":"all"}]}}}`,
    /docker\.x\.0.*"all" is a req/,
  ],
  ['an unknown member', `{"default":${ACCEPT_ALL},"more":1}`, /more/],
  ['an unknown member of a rule', '{"default":[{"type":"reject","more":1}]}', /more/],
  ['a member twice', `{"default":[{"type":"reject"}],"default":${ACCEPT_ALL}}`, /"default" comes twice/],
  [
    'a scope twice',
    `{"default":${ACCEPT_ALL},"transports":{"docker":{"x":[{"type":"reject"}],"\\u0078":${ACCEPT_ALL}}}}`,
    /"x" comes twice/,
  ],
  ['no key', '{"default":[{"type":"sigstoreSigned"}]}', /exactly one of keyPath/],
  ['two keys', '{"default":[{"type":"sigstoreSigned","keyPath":"/a","keyData":"YQ=="}]}', /exactly one/],
  ['no key of OpenPGP', '{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}', /exactly one/],
  ['keyDatas of OpenPGP', '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyDatas":["YQ=="]}]}', /keyDatas/],
  ['an unknown kind of key', '{"default":[{"type":"signedBy","keyType":"x","keyPath":"/a"}]}', /keyType/],
  ['no kind of key', '{"default":[{"type":"signedBy","keyPath":"/a"}]}', /keyType/],
  ['an identity without a tag', withIdentity({ type: 'exactReference', dockerReference: 'a' }), /no name with a tag/],
  ['an identity with more', withIdentity({ type: 'matchExact', prefix: 'a' }), /prefix/],
  ['a prefix that is none', withIdentity({ type: 'remapIdentity', prefix: 'a/', signedPrefix: 'b' }), /prefix/],
  ['a relative path', `{"default":${ACCEPT_ALL},"transports":{"dir":{"a":${ACCEPT_ALL}}}}`, /no image of dir:/],
  ['the root', `{"default":${ACCEPT_ALL},"transports":{"oci":{"/":${ACCEPT_ALL}}}}`, /no image of oci:/],
  [
    'a path that goes up',
    `{"default":${ACCEPT_ALL},"transports":{"dir":{"/a/../b":${ACCEPT_ALL}}}}`,
    /no image of dir:/,
  ],
  [
    'a scope in docker archives',
    `{"default":${ACCEPT_ALL},"transports":{"docker-archive":{"/a":${ACCEPT_ALL}}}}`,
    /no image of docker-archive:/,
  ],
  [
    'a store without a place',
    `{"default":${ACCEPT_ALL},"transports":{"containers-storage":{"x":${ACCEPT_ALL}}}}`,
    /no image of containers-/,
  ],
];
for (const [what, json, message = /policy\.json/] of VOID) {
  test(`a policy with ${what} is void`, (t) => {
    const root = scratch(t, { 'etc/containers/policy.json': json });
    assert.throws(() => readPolicy({ env: {}, uid: 0, home: `${root}/home`, systemRoot: root }), {
      code: 'BAD_CONFIG',
      message,
    });
  });
}

const FOLDER: PolicySubject = {
  transport: 'dir',
  scopes: pathScopes('/srv/images/a'),
  name: undefined,
  shown: 'dir:a',
};
const STORED: PolicySubject = {
  transport: 'containers-storage',
  scopes: ['[overlay@/graph]docker.io/library/x:1', '[overlay@/graph]', '[/graph]'],
  name: parseName('x:1'),
  shown: 'containers-storage:x:1',
};
const LOCAL: [what: string, transports: object, subject: PolicySubject, accepted: boolean][] = [
  ['nothing about the transport', { docker: { '': [ACCEPT] } }, FOLDER, false],
  ['all of the transport', { dir: { '': [ACCEPT] } }, FOLDER, true],
  ['a folder above', { dir: { '/srv': [ACCEPT] } }, FOLDER, true],
  ['a folder of the same beginning', { dir: { '/srv/image': [ACCEPT] } }, FOLDER, false],
  ['the folder itself before one above', { dir: { '/srv': [ACCEPT], '/srv/images/a': [REJECT] } }, FOLDER, false],
  ['a store', { 'containers-storage': { '[/graph]': [ACCEPT] } }, STORED, true],
  [
    'a name in another store',
    { 'containers-storage': { '[overlay@/other]docker.io/library/x:1': [ACCEPT] } },
    STORED,
    false,
  ],
];
for (const [what, transports, subject, accepted] of LOCAL) {
  test(`a policy about ${what} ${accepted ? 'lets' : 'does not let'} ${subject.shown} in`, async (t) => {
    const checked = check(t, { default: [REJECT], transports }, subject);
    if (accepted) await checked;
    else await assert.rejects(checked, { code: 'POLICY' });
  });
}

test('an image without a name is what a signature says when the rule names it', async (t) => {
  const signature = [signed(statement('reg.test/x:1'))];
  const rule = (signedIdentity?: object): object => ({
    default: [{ ...SIGNED, ...(signedIdentity && { signedIdentity }) }],
  });
  await assert.rejects(check(t, rule(), FOLDER, signature), { code: 'POLICY', message: /another name/ });
  await assert.rejects(check(t, rule({ type: 'matchRepository' }), FOLDER, signature), { code: 'POLICY' });
  await check(t, rule({ type: 'exactRepository', dockerRepository: 'reg.test/x' }), FOLDER, signature);
});

test('where a signature has to be verified, rules without one are not enough', async (t) => {
  await check(t, { default: [ACCEPT] }, 'reg.test/x:1');
  await assert.rejects(check(t, { default: [ACCEPT] }, 'reg.test/x:1', [], true), {
    code: 'POLICY',
    message: /demands none/,
  });
  await check(t, { default: [ACCEPT, SIGNED] }, 'reg.test/x:1', [signed(statement('reg.test/x:1'))], true);
});

test('attestations are no signatures', async (t) => {
  const other = {
    ...signed(statement('reg.test/x:1')),
    mediaType: 'application/vnd.dsse.envelope.v1+json',
  } as Signature;
  await assert.rejects(check(t, { default: [SIGNED] }, 'reg.test/x:1', [other]), {
    code: 'POLICY',
    message: /no signature/,
  });
});

test('the environment may name the policy', (t) => {
  const root = scratch(t, { 'own.json': JSON.stringify({ default: [SIGNED] }) });
  const surroundings = {
    env: { CONTAINERS_POLICY_JSON: `${root}/own.json` },
    uid: 0,
    home: '/nowhere',
    systemRoot: root,
  };
  assert.equal(readPolicy(surroundings)?.default[0]?.type, 'sigstoreSigned');
});
