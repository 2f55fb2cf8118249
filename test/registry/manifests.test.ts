import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { RegistryError } from '../../src/registry/registry-error.js';
import { hasManifest, putManifest } from '../../src/registry/manifests.js';
import { endless } from '../support/servers/scripted-http.js';
import {
  INDEX,
  MANIFEST,
  destinationOf,
  no,
  scriptedRegistry,
  sha256,
  sourceOf,
  type Fault,
} from '../support/servers/scripted-registry.js';

const JSON_BYTES = Buffer.from('{"schemaVersion":2,"layers":[]}');

test('a manifest comes as the bytes that are stored, with type and digest', async (t) => {
  const server = await scriptedRegistry(t);
  const digest = server.addManifest(JSON_BYTES, 'latest', `${MANIFEST}; charset=utf-8`);
  assert.deepEqual(await sourceOf(t, server).manifest(), { bytes: JSON_BYTES, mediaType: MANIFEST, digest });
  assert.deepEqual(await sourceOf(t, server, {}, `a/b@${digest}`).manifest(), {
    bytes: JSON_BYTES,
    mediaType: MANIFEST,
    digest,
  });
  assert.match(server.requests.at(-1)?.headers.accept ?? '', /oci\.image\.index.*manifest\.list/);
});

const SNIFFED: [name: string, json: object, type: string, expected: string][] = [
  ['an index without a type', { manifests: [] }, '', INDEX],
  ['a manifest without a type', { layers: [] }, 'application/octet-stream', MANIFEST],
  [
    'what says itself what it is',
    { mediaType: 'application/vnd.docker.distribution.manifest.v2+json' },
    'text/plain',
    'application/vnd.docker.distribution.manifest.v2+json',
  ],
];
for (const [name, json, type, expected] of SNIFFED) {
  test(`${name} is recognised`, async (t) => {
    const server = await scriptedRegistry(t);
    server.addManifest(json, 'latest', type);
    assert.equal((await sourceOf(t, server).manifest()).mediaType, expected);
  });
}

const HTML = '<html><head><title>Sign in\x1b[2J</title></head><body>hidden</body></html>';
const REFUSED: [name: string, answer: Fault, code: string, message: RegExp][] = [
  [
    "docker's schema 1",
    (_, response) =>
      end(response, 200, '{"schemaVersion":1}', 'application/vnd.docker.distribution.manifest.v1+prettyjws'),
    'REGISTRY_ANSWER',
    /schema 1/,
  ],
  [
    'a page',
    (_, response) => end(response, 200, HTML, 'text/html'),
    'REGISTRY_ANSWER',
    /something that is none \("text\/html"\)/,
  ],
  [
    'some other JSON',
    (_, response) => end(response, 200, '{"a":1}', 'application/json'),
    'REGISTRY_ANSWER',
    /not that of a manifest/,
  ],
  [
    'a type that is none',
    (_, response) => end(response, 200, '{"layers":[]}', 'application/vnd.\x85x'),
    'REGISTRY_ANSWER',
    /not that of a manifest/,
  ],
  [
    'two types',
    (_, response) => end(response, 200, `{"mediaType":"${INDEX}"}`, MANIFEST),
    'REGISTRY_ANSWER',
    /calls itself/,
  ],
  ['nothing', (_, response) => end(response, 200, '', MANIFEST), 'REGISTRY_ANSWER', /none/],
  [
    'JSON that says no',
    (_, response) => (no(response, 404, 'MANIFEST_UNKNOWN', 'never\x1b[1m heard'), true),
    'NOT_FOUND',
    /a\/b:latest: the manifest cannot be read: MANIFEST_UNKNOWN: never\\x1b\[1m heard \(status 404\)/,
  ],
  [
    'text that says no',
    (_, response) => end(response, 404, '404 page not found\n', 'text/plain'),
    'NOT_FOUND',
    /404 page not found \(status 404\)/,
  ],
  [
    'a page that says no',
    (_, response) => end(response, 403, HTML, 'text/html'),
    'UNAUTHORIZED',
    /a page "Sign in\\x1b\[2J" \(status 403\)/,
  ],
  ['an endless page that says no', (_, response) => never(response, 400), 'REGISTRY_STATUS', /\(status 400\)/],
  [
    'ever too many requests',
    (_, response) => (no(response, 429, 'TOOMANYREQUESTS'), true),
    'TOO_MANY_REQUESTS',
    /TOOMANYREQUESTS/,
  ],
  [
    "ECR's no to a type",
    (_, response) => (no(response, 405, 'UNSUPPORTED', 'Invalid JSON syntax'), true),
    'REGISTRY_STATUS',
    /UNSUPPORTED: Invalid JSON syntax/,
  ],
];
for (const [name, answer, code, message] of REFUSED) {
  test(`instead of a manifest there is ${name}`, async (t) => {
    const server = await scriptedRegistry(t, {
      fault: (request, response, number) => request.url !== '/v2/' && answer(request, response, number),
    });
    await assert.rejects(sourceOf(t, server).manifest(), (error) => {
      assert.ok(error instanceof RegistryError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden|[\x00-\x1f\x7f-\x9f]/);
      assert.deepEqual([error.host, error.repository, error.reference], [server.host, 'a/b', 'latest']);
      return true;
    });
  });
}

test('a manifest without an end is not read', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => request.url !== '/v2/' && never(response, 200),
  });
  await assert.rejects(sourceOf(t, server).manifest(), { code: 'HTTP_SIZE', message: /4194304 bytes/ });
});

test('a proxy may compress a manifest', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) =>
      request.url !== '/v2/' &&
      (response.writeHead(200, { 'content-type': MANIFEST, 'content-encoding': 'gzip' }).end(gzipSync(JSON_BYTES)),
      true),
  });
  assert.equal((await sourceOf(t, server, {}, `a/b@${sha256(JSON_BYTES)}`).manifest()).digest, sha256(JSON_BYTES));
});

test('a manifest of another digest is refused', async (t) => {
  const server = await scriptedRegistry(t);
  const digest = server.addManifest(JSON_BYTES, 'latest');
  server.manifests.set(digest, { bytes: Buffer.from('{"schemaVersion":2,"layers":[1]}'), type: MANIFEST });
  await assert.rejects(sourceOf(t, server, {}, `a/b@${digest}`).manifest(), {
    code: 'DIGEST_MISMATCH',
    message: new RegExp(`${server.host}/a/b`),
  });
});

test('a tag that moves between two requests is one image, what is named by digest cannot move', async (t) => {
  const server = await scriptedRegistry(t);
  const child = server.addManifest(JSON_BYTES);
  server.addManifest({ manifests: [{ digest: child }] }, 'latest', INDEX);
  const source = sourceOf(t, server);
  const index = await source.manifest();
  server.addManifest({ layers: [2] }, 'latest');
  assert.deepEqual((await source.manifestOf(child)).bytes, JSON_BYTES);
  assert.equal(index.mediaType, INDEX);
});

test('HEAD may say nothing about the digest', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) =>
      request.method === 'HEAD' && request.url?.endsWith('/bare') === true && end(response, 200, '', 'text/plain'),
  });
  const digest = server.addManifest(JSON_BYTES, 'latest');
  const repository = destinationOf(t, server);
  assert.deepEqual(await hasManifest(repository, 'latest'), { digest });
  assert.deepEqual(await hasManifest(repository, 'bare'), { digest: undefined });
  assert.equal(await hasManifest(repository, 'none'), undefined);
});

test('a manifest is stored as it is, and what the server made of it is compared', async (t) => {
  let lie = false;
  const server = await scriptedRegistry(t, {
    fault: (_, response) =>
      lie && (response.writeHead(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }).end(), true),
  });
  const manifest = { bytes: JSON_BYTES, mediaType: MANIFEST, digest: sha256(JSON_BYTES) };
  const repository = destinationOf(t, server);
  assert.deepEqual(await putManifest(repository, 'new', manifest), { knowsSubject: false });
  assert.deepEqual(server.manifests.get('new'), { bytes: JSON_BYTES, type: MANIFEST });
  lie = true;
  await assert.rejects(putManifest(repository, 'new', manifest), { code: 'DIGEST_MISMATCH' });
});

test('a server that is no registry is named', async (t) => {
  const server = await scriptedRegistry(t, { fault: (_, response) => end(response, 404, HTML, 'text/html') });
  await assert.rejects(sourceOf(t, server).manifest(), {
    code: 'NOT_FOUND',
    message: new RegExp(`^${server.host}: this is not a registry: a page`),
  });
});

test('what a registry tells its users is told once, and cannot steer the terminal', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (_, response) => (
      response.setHeader('warning', ['299 - "going \\"away\\""', '299 - "\x85"', '110 - "other"']), false
    ),
  });
  server.addManifest(JSON_BYTES, 'latest');
  const warnings: string[] = [];
  const source = sourceOf(t, server, { onWarning: (text) => warnings.push(text) });
  await source.manifest();
  await source.manifest();
  assert.deepEqual(warnings.filter((text) => text === 'going "away"').length, 1);
  assert.ok(warnings.length > 1 && warnings.every((text) => !/[\x00-\x1f\x7f-\x9f]|other/.test(text)));
});

function end(response: Parameters<Fault>[1], status: number, body: string, type: string): true {
  response.writeHead(status, { 'content-type': type }).end(body);
  return true;
}

function never(response: Parameters<Fault>[1], status: number): true {
  response.writeHead(status, { 'content-type': MANIFEST });
  endless(response, Buffer.alloc(65536, ' '));
  return true;
}
