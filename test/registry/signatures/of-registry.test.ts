// Where signatures of images in registries are looked for.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { registrySignatures } from '../../../src/registry/signatures/of-registry.js';
import { SIGNATURE_ANNOTATION, STATEMENT_TYPE, type Signature } from '../../../src/registry/signatures/signature.js';
import { parseRegistryReference } from '../../../src/spec/reference.js';
import { fixture } from '../../support/fixtures.js';
import { scratch } from '../../support/scratch.js';
import { scriptedHttp } from '../../support/servers/scripted-http.js';
import {
  destinationOf,
  scriptedRegistry,
  type Fault,
  type ScriptedRegistry,
} from '../../support/servers/scripted-registry.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const GOOD = fixture('policy/signatures/good');
const OTHER = fixture('policy/signatures/stranger');
const PLACE = `a/b@${DIGEST.replace(':', '=')}/signature-`;

interface Looked {
  files: Readonly<Record<string, string | Buffer>>;
  fault?: Fault;
  /** `{root}` in files */
  registriesDir?: string;
  uid?: number;
}

async function look(
  t: TestContext,
  { files, fault, registriesDir, uid = 0 }: Looked,
  prepare: (server: ScriptedRegistry) => void = () => undefined,
): Promise<readonly Signature[]> {
  const server = await scriptedRegistry(t, fault && { fault });
  prepare(server);
  const root = scratch(t);
  for (const [path, content] of Object.entries(files)) {
    const text =
      typeof content === 'string' ? content.replaceAll('{root}', root).replaceAll('{host}', server.host) : content;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const repository = destinationOf(t, server);
  return registrySignatures({
    repository,
    reference: parseRegistryReference(`${server.host}/a/b:1`),
    digest: DIGEST,
    surroundings: { env: {}, uid, home: join(root, 'home'), systemRoot: root },
    registriesDir: registriesDir && join(root, registriesDir),
  });
}

const simple = (message: Buffer): Signature => ({ kind: 'simple', message });
const D = 'etc/containers/registries.d';

test('the lookaside of the smallest namespace counts, and numbers end at a gap', async (t) => {
  const files = {
    [`${D}/a.yaml`]:
      'docker:\n  {host}:\n    lookaside: file:///nowhere\n  {host}/a:\n    lookaside: file://{root}/sig\n',
    [`${D}/default.yaml`]: 'default-docker:\n  lookaside: file:///elsewhere\n',
    [`sig/${PLACE}1`]: GOOD,
    [`sig/${PLACE}2`]: OTHER,
    [`sig/${PLACE}4`]: GOOD,
  };
  assert.deepEqual(await look(t, { files }), [simple(GOOD), simple(OTHER)]);
});

test('sigstore is the older name of lookaside; a namespace without either leaves it to what is above', async (t) => {
  const files = {
    [`${D}/a.yaml`]:
      'docker:\n  {host}/a/b:\n    use-sigstore-attachments: no\n  {host}/a:\n    sigstore: file://{root}/sig/\n',
    [`sig/${PLACE}1`]: GOOD,
  };
  assert.deepEqual(await look(t, { files }), [simple(GOOD)]);
});

test('where nothing is said, the usual folder counts', async (t) => {
  const usual = process.geteuid?.() === 0 ? 'var/lib/containers/sigstore' : 'home/.local/share/containers/sigstore';
  assert.deepEqual(await look(t, { files: { [`${usual}/${PLACE}1`]: GOOD } }), [simple(GOOD)]);
  assert.deepEqual(await look(t, { files: {} }), []);
});

const yaml = (folder: string): string => `default-docker:\n  lookaside: file://{root}/${folder}\n`;
const ORDER: [what: string, files: Record<string, string>, uid: number, used: string][] = [
  [
    "the administrator's file hides the distribution's",
    { [`${D}/x.yaml`]: 'a', 'usr/share/containers/registries.d/x.yaml': 'b' },
    0,
    'a',
  ],
  [
    "the user's file hides the administrator's",
    { [`${D}/x.yaml`]: 'b', 'home/.config/containers/registries.d/x.yaml': 'a' },
    1000,
    'a',
  ],
  [
    "root's own file hides the general one",
    { [`${D}/x.yaml`]: 'b', 'etc/containers/registries.rootful.d/x.yaml': 'a' },
    0,
    'a',
  ],
  [
    "users' own file hides the general one",
    { [`${D}/x.yaml`]: 'b', 'etc/containers/registries.rootless.d/x.yaml': 'a' },
    1000,
    'a',
  ],
  [
    "one user's file hides that of all users",
    { 'etc/containers/registries.rootless.d/x.yaml': 'b', 'etc/containers/registries.rootless.d/1000/x.yaml': 'a' },
    1000,
    'a',
  ],
  ['the folder that was named counts alone', { [`${D}/x.yaml`]: 'b', 'own/y.yaml': 'a' }, 0, 'a'],
  [
    'what is not .yaml does not count',
    { [`${D}/x.yml`]: 'b', 'usr/share/containers/registries.d/x.yaml': 'a' },
    0,
    'a',
  ],
];
for (const [what, files, uid, used] of ORDER) {
  test(what, async (t) => {
    const texts = Object.fromEntries(Object.entries(files).map(([path, folder]) => [path, yaml(folder)]));
    const found = await look(t, {
      files: { ...texts, [`a/${PLACE}1`]: GOOD, [`b/${PLACE}1`]: OTHER },
      uid,
      ...('own/y.yaml' in files && { registriesDir: 'own' }),
    });
    assert.deepEqual(found, [simple(used === 'a' ? GOOD : OTHER)]);
  });
}

const BAD: [what: string, files: Record<string, string | Buffer>, code: string, message: RegExp][] = [
  [
    'a namespace in two files',
    { [`${D}/a.yaml`]: 'docker:\n  x: {}\n', [`${D}/b.yaml`]: 'docker:\n  x: {}\n' },
    'BAD_CONFIG',
    /b\.yaml: "docker: x" is in .*a\.yaml as well/,
  ],
  [
    'a default in two files',
    { [`${D}/a.yaml`]: 'default-docker: {}\n', [`${D}/b.yaml`]: 'default-docker: {}\n' },
    'BAD_CONFIG',
    /"default-docker" is in/,
  ],
  ['a key twice', { [`${D}/a.yaml`]: 'docker:\n  x: {}\n  x: {}\n' }, 'BAD_CONFIG', /a\.yaml: .*unique/],
  ['what is no YAML', { [`${D}/a.yaml`]: 'docker: [\n' }, 'BAD_CONFIG', /a\.yaml/],
  ['a list', { [`${D}/a.yaml`]: '- docker\n' }, 'BAD_CONFIG', /a\.yaml/],
  [
    'a lookaside that is no URL',
    { [`${D}/a.yaml`]: 'default-docker:\n  lookaside: /srv/sig\n' },
    'BAD_CONFIG',
    /"\/srv\/sig" is no place/,
  ],
  [
    'a lookaside of another kind',
    { [`${D}/a.yaml`]: 'default-docker:\n  lookaside: ftp://host/sig\n' },
    'BAD_CONFIG',
    /file, http and https/,
  ],
  [
    'a signature that is none',
    { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: '<html>' },
    'SIGNATURE',
    /signature-1 is no signature/,
  ],
  ['an empty signature', { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: '' }, 'SIGNATURE', /is empty/],
  [
    'an unknown format',
    { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: '\0new\nx' },
    'SIGNATURE',
    /unknown format "new"/,
  ],
  [
    'a format without an end',
    { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: '\0sigstore-json' },
    'SIGNATURE',
    /unknown format ""/,
  ],
  [
    'a broken signature of sigstore',
    { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: '\0sigstore-json\n{}' },
    'SIGNATURE',
    /is not the signature/,
  ],
  [
    'a signature that is too long',
    { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: Buffer.alloc(70_000, 0x90) },
    'SIGNATURE',
    /cannot be read/,
  ],
];
for (const [what, files, code, message] of BAD)
  test(`${what} is an error`, (t) => assert.rejects(look(t, { files }), { code, message }));

test('a folder of that name has to be there', (t) =>
  assert.rejects(look(t, { files: {}, registriesDir: 'own' }), {
    code: 'NOT_FOUND',
    message: /own with files of registr/,
  }));

test('both formats of kept signatures are read', async (t) => {
  const kept = { mimeType: STATEMENT_TYPE, payload: Buffer.from('x').toString('base64'), annotations: { a: 'b' } };
  const files = {
    [`${D}/a.yaml`]: yaml('sig'),
    [`sig/${PLACE}1`]: Buffer.concat([Buffer.from('\0simple-signing\n'), GOOD]),
    [`sig/${PLACE}2`]: `\0sigstore-json\n${JSON.stringify(kept)}`,
  };
  assert.deepEqual(await look(t, { files }), [
    simple(GOOD),
    { kind: 'sigstore', mediaType: STATEMENT_TYPE, payload: Buffer.from('x'), annotations: { a: 'b' } },
  ]);
});

const WEB: [
  what: string,
  answer: (path: string) => [status: number, body?: Buffer | 'endless'],
  expected: number | RegExp,
][] = [
  ['two files', (path) => (/signature-[12]$/.test(path) ? [200, GOOD] : [404]), 2],
  ['no file', () => [404], 0],
  ['an error', () => [403], /status 403 instead of a signature/],
  ['files without end', () => [200, GOOD], /more than 128 signatures/],
  ['a body without end', () => [200, 'endless'], /longer than 65536 bytes/],
];
for (const [what, answer, expected] of WEB) {
  test(`a web server that has ${what}`, async (t) => {
    const asked: string[] = [];
    const web = await scriptedHttp(t, (request, response) => {
      asked.push(request.url ?? '');
      const [status, body] = answer(request.url ?? '');
      response.writeHead(status);
      if (body !== 'endless') return void response.end(body);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, 0x90)));
      };
      response.on('drain', more);
      more();
    });
    const looked = look(t, { files: { [`${D}/a.yaml`]: `default-docker:\n  lookaside: ${web.origin}/top\n` } });
    if (expected instanceof RegExp) await assert.rejects(looked, { message: expected });
    else assert.equal((await looked).length, expected);
    assert.equal(asked[0], `/top/${PLACE}1`);
  });
}

function attach(server: ScriptedRegistry): Signature {
  const payload = Buffer.from('{"critical":{}}');
  const annotations = { [SIGNATURE_ANNOTATION]: 'AAAA' };
  const layer = { mediaType: STATEMENT_TYPE, ...server.addBlob(payload), annotations };
  const other = { mediaType: 'application/octet-stream', ...server.addBlob(Buffer.from('x')) };
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', ...server.addBlob(Buffer.from('{}')) };
  server.addManifest({ schemaVersion: 2, config, layers: [other, layer] }, `${DIGEST.replace(':', '-')}.sig`);
  return { kind: 'sigstore', mediaType: STATEMENT_TYPE, payload, annotations };
}

test('what is attached in the registry counts only where registries.d says so', async (t) => {
  let attached: Signature | undefined;
  const prepare = (server: ScriptedRegistry): void => void (attached = attach(server));
  const say = (text: string): Looked => ({ files: { [`${D}/a.yaml`]: text } });
  assert.deepEqual(await look(t, { files: {} }, prepare), []);
  assert.deepEqual(await look(t, say('default-docker:\n  use-sigstore-attachments: false\n'), prepare), []);
  const yes = say('default-docker:\n  use-sigstore-attachments: true\n');
  assert.deepEqual(await look(t, yes, prepare), [attached]);
  assert.deepEqual(await look(t, yes), []);
  const one =
    'default-docker:\n  use-sigstore-attachments: false\ndocker:\n  {host}/a:\n    use-sigstore-attachments: yes\n';
  assert.deepEqual(await look(t, say(one), prepare), [attached]);
});

const LISTED = { schemaVersion: 2, type: 'atomic', name: 'x', content: GOOD.toString('base64') };
const EXTENSIONS: [what: string, status: number, body: string, expected: Signature[] | RegExp][] = [
  [
    'a signature, and others',
    200,
    JSON.stringify({ signatures: [{ ...LISTED, type: 'x' }, LISTED, { ...LISTED, schemaVersion: 3 }] }),
    [simple(GOOD)],
  ],
  ['nothing', 200, '{}', []],
  ['an error', 500, '', /the signatures cannot be read/],
  ['no list', 200, '[]', /instead of a list of signatures/],
  ['no JSON', 200, 'x', /instead of a list of signatures/],
];
for (const [what, status, body, expected] of EXTENSIONS) {
  test(`a registry that keeps signatures itself, and gives ${what}`, async (t) => {
    const fault: Fault = (request, response) => {
      if (request.url === '/v2/') response.setHeader('x-registry-supports-signatures', '1');
      if (request.url !== `/extensions/v2/a/b/signatures/${DIGEST}`) return false;
      response.writeHead(status).end(body);
      return true;
    };
    const looked = look(t, { files: { [`${D}/a.yaml`]: yaml('sig'), [`sig/${PLACE}1`]: OTHER }, fault });
    if (expected instanceof RegExp) await assert.rejects(looked, { message: expected });
    else assert.deepEqual(await looked, expected);
  });
}
