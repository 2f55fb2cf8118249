import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hasBlob } from '../../src/registry/blobs.js';
import type { PullSource } from '../../src/registry/pull-source.js';
import { parseRegistryReference } from '../../src/spec/reference.js';
import { scriptedHttp } from '../support/servers/scripted-http.js';
import {
  MANIFEST,
  destinationOf,
  no,
  registriesFor,
  scriptedRegistry,
  sourceOf,
} from '../support/servers/scripted-registry.js';

const BLOB = randomBytes(2 << 20);

async function read(source: PullSource, facts: { digest: string; size: number; urls?: string[] }): Promise<Buffer> {
  await using body = source.blob(facts, { retryMs: 1 });
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('a blob comes from storage elsewhere, which does not hear the password', async (t) => {
  const storage = await scriptedHttp(t, (_, response) => void response.end(BLOB));
  const server = await scriptedRegistry(t, {
    basic: true,
    fault: (request, response) =>
      request.headers.authorization !== undefined &&
      request.url?.includes('/blobs/') === true &&
      (response.writeHead(307, { location: `${storage.origin}/x?X-Amz-Signature=hidden` }).end(), true),
  });
  const facts = server.addBlob(BLOB);
  assert.deepEqual(
    await read(sourceOf(t, server, { credentials: { kind: 'basic', username: 'user', password: 'secret' } }), facts),
    BLOB,
  );
  assert.deepEqual(
    storage.requests.map(({ headers }) => headers.authorization),
    [undefined],
  );
});

test('a blob whose connection is cut every half megabyte is read once', async (t) => {
  const server = await scriptedRegistry(t, { ranges: { cutEvery: 512 << 10 } });
  assert.deepEqual(await read(sourceOf(t, server), server.addBlob(BLOB)), BLOB);
});

test('a descriptor that says less than there is, or more, is not believed', async (t) => {
  const server = await scriptedRegistry(t);
  const facts = server.addBlob(BLOB);
  for (const size of [BLOB.length - 1, BLOB.length + 1])
    await assert.rejects(read(sourceOf(t, server), { ...facts, size }), { code: 'HTTP_SIZE' });
});

test('a blob that is missing is named by its digest', async (t) => {
  const server = await scriptedRegistry(t);
  const digest = `sha256:${'1'.repeat(64)}`;
  await assert.rejects(read(sourceOf(t, server), { digest, size: 5 }), {
    code: 'NOT_FOUND',
    reference: digest,
    status: 404,
    serverCodes: ['BLOB_UNKNOWN'],
  });
});

test('a small blob is verified', async (t) => {
  const server = await scriptedRegistry(t);
  const facts = server.addBlob(Buffer.from('config'));
  const source = sourceOf(t, server);
  assert.equal((await source.smallBlob('config', facts, 100)).toString(), 'config');
  server.blobs.set(facts.digest, Buffer.from('cOnfig'));
  await assert.rejects(source.smallBlob('config', facts, 100), { code: 'DIGEST_MISMATCH' });
  await assert.rejects(source.smallBlob('config', { ...facts, size: 101 }, 100), { code: 'FILE_TOO_LARGE' });
});

test('reading a small blob ends when the caller says so', async (t) => {
  const server = await scriptedRegistry(t, { fault: (request) => request.url?.includes('/blobs/') === true });
  const stop = new AbortController();
  const reading = sourceOf(t, server).smallBlob(
    'config',
    { digest: `sha256:${'1'.repeat(64)}`, size: 5 },
    100,
    stop.signal,
  );
  setTimeout(() => stop.abort(new Error('enough')), 100);
  await assert.rejects(reading, /enough/);
});

test('a foreign layer is had from its URLs, without credentials', async (t) => {
  const elsewhere = await scriptedHttp(
    t,
    (request, response) => void (request.url === '/gone' ? response.writeHead(404).end() : response.end(BLOB)),
  );
  const server = await scriptedRegistry(t, { basic: true });
  const { digest, size } = server.addBlob(BLOB);
  server.blobs.clear();
  const urls = [
    'file:///etc/passwd',
    'http://u:p@127.0.0.1:1/',
    `${elsewhere.origin}/gone`,
    `${elsewhere.origin}/layer`,
  ];
  assert.deepEqual(
    await read(sourceOf(t, server, { credentials: { kind: 'basic', username: 'user', password: 'secret' } }), {
      digest,
      size,
      urls,
    }),
    BLOB,
  );
  assert.deepEqual(
    elsewhere.requests.map(({ url, headers }) => [url, headers.authorization]),
    [
      ['/gone', undefined],
      ['/layer', undefined],
    ],
  );
});

test('whether a blob is there', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) =>
      request.url?.endsWith('2'.repeat(64)) === true && (no(response, 405, 'UNSUPPORTED'), true),
  });
  const facts = server.addBlob(BLOB);
  const repository = destinationOf(t, server);
  assert.equal(await hasBlob(repository, facts), true);
  assert.equal(await hasBlob(repository, { ...facts, size: 7 }), false);
  assert.equal(await hasBlob(repository, { digest: `sha256:${'1'.repeat(64)}` }), false);
  assert.equal(await hasBlob(repository, { digest: `sha256:${'2'.repeat(64)}` }), false);
});

test('a blob goes on at the registry when its mirror fails in the middle', async (t) => {
  const mirror = await scriptedRegistry(t, {
    ranges: { cutEvery: 1 << 20 },
    fault: (request, response) => request.headers.range !== undefined && (no(response, 500, 'UNKNOWN'), true),
  });
  const server = await scriptedRegistry(t);
  for (const each of [mirror, server]) {
    each.addBlob(BLOB);
    each.addManifest({ schemaVersion: 2, layers: [] }, 'latest', MANIFEST);
  }
  const conf = `[[registry]]\nlocation = "${server.host}"\n[[registry.mirror]]\nlocation = "${mirror.host}"\n`;
  const { registries } = registriesFor(t, { files: { 'etc/containers/registries.conf': conf } });
  const source = registries.source(parseRegistryReference(`${server.host}/a/b`));
  await source.manifest();
  assert.deepEqual(await read(source, server.addBlob(BLOB)), BLOB);
  assert.ok(server.requests.some(({ headers }) => headers.range !== undefined));
});
