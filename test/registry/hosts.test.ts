import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostCertificates } from '../../src/registry/host-certificates.js';
import { parseRegistryReference } from '../../src/spec/reference.js';
import { fixture } from '../support/fixtures.js';
import { scratch } from '../support/scratch.js';
import { registriesFor, scriptedRegistry, sourceOf } from '../support/servers/scripted-registry.js';

const TLS = { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') };
const CA = fixture('tls/ca.crt');
const CLIENT = { cert: fixture('tls/client.crt'), key: fixture('tls/client.key') };
const EMPTY = { schemaVersion: 2, layers: [] };

test('plain HTTP is for registries that are called insecure, and this machine is no exception', async (t) => {
  const server = await scriptedRegistry(t);
  server.addManifest(EMPTY, 'latest');
  const reference = parseRegistryReference(`${server.host}/a/b`);
  const files = { 'etc/containers/registries.conf': `[[registry]]\nlocation="${server.host}"\ninsecure=true\n` };
  for (const [given, tlsVerify, good] of [
    [{}, undefined, false],
    [{}, true, false],
    [{}, false, true],
    [files, undefined, true],
    [files, true, false],
  ] as const) {
    const source = registriesFor(t, { files: given }, { tlsVerify }).registries.source(reference);
    if (good) await source.manifest();
    else
      await assert.rejects(
        source.manifest(),
        (error: Error & { code?: string; host?: string }) =>
          error.host === server.host && /^HTTP_(?:TLS|CUT)$/.test(error.code ?? ''),
      );
  }
});

test('the certificates of a host are in certs.d, or in the folder that is named', async (t) => {
  const server = await scriptedRegistry(t, { tls: { ...TLS, ca: CA, requestCert: true, rejectUnauthorized: true } });
  server.addManifest(EMPTY, 'latest');
  const reference = parseRegistryReference(`${server.host}/a/b`);
  const folder = (top: string): Record<string, Buffer> => ({
    [`${top}/ca.crt`]: CA,
    [`${top}/me.cert`]: CLIENT.cert,
    [`${top}/me.key`]: CLIENT.key,
  });
  for (const top of ['home/.config/containers', 'etc/containers', 'usr/share/containers', 'etc/docker']) {
    await registriesFor(t, { files: folder(`${top}/certs.d/${server.host}`) }, { tlsVerify: true })
      .registries.source(reference)
      .manifest();
  }
  await registriesFor(t, {}, { tlsVerify: true, certDir: scratch(t, folder('.')) })
    .registries.source(reference)
    .manifest();
  await assert.rejects(
    registriesFor(t, { files: folder('etc/containers/certs.d/other.test') }, { tlsVerify: true })
      .registries.source(reference)
      .manifest(),
    { code: 'HTTP_TLS' },
  );
});

const BAD: [name: string, files: Record<string, string | Buffer>, message: RegExp][] = [
  ['a certificate without a key', { 'me.cert': CLIENT.cert }, /me\.cert has no me\.key/],
  ['a key without a certificate', { 'me.key': CLIENT.key }, /me\.key has no me\.cert/],
  ['an authority that is none', { 'ca.crt': 'nothing' }, /ca\.crt holds no certificate/],
];
for (const [name, files, message] of BAD) {
  test(`${name} is an error`, (t) => {
    const certDir = scratch(t, files);
    assert.throws(
      () => hostCertificates('reg.test', { env: {}, uid: 0, home: '/nowhere', systemRoot: '/nowhere' }, certDir),
      { code: 'BAD_CERTIFICATE', message },
    );
  });
}

test('a folder of certificates that is not there is an error only when it was named', () => {
  const surroundings = { env: {}, uid: 0, home: '/nowhere', systemRoot: '/nowhere' };
  assert.deepEqual(hostCertificates('reg.test', surroundings), { authorities: [], clientCertificates: [] });
  assert.throws(() => hostCertificates('reg.test', surroundings, '/nowhere/certs'), { code: 'NOT_FOUND' });
});

test('a mirror that is not there, is no registry, or lies is passed over', async (t) => {
  const server = await scriptedRegistry(t);
  const digest = server.addManifest(EMPTY, 'latest');
  const liar = await scriptedRegistry(t);
  liar.manifests.set(digest, {
    bytes: Buffer.from('{"layers":[1]}'),
    type: 'application/vnd.oci.image.manifest.v1+json',
  });
  const page = await scriptedRegistry(t, {
    fault: (_, response) => (response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'), true),
  });
  const mirrors = ['127.0.0.1:1', page.host, liar.host]
    .map((host) => `[[registry.mirror]]\nlocation="${host}"\n`)
    .join('');
  const { registries } = registriesFor(t, {
    files: { 'etc/containers/registries.conf': `[[registry]]\nlocation="${server.host}"\n${mirrors}` },
  });
  const source = registries.source(parseRegistryReference(`${server.host}/a/b@${digest}`));
  assert.equal((await source.manifest()).digest, digest);
  assert.equal(source.repository.name.host, server.host);
  assert.ok(liar.requests.length > 0 && page.requests.length > 0);
});

test('a registry that is down says which one it is, without any secret', async (t) => {
  await assert.rejects(
    sourceOf(t, { host: '127.0.0.1:1' } as never, {
      credentials: { kind: 'basic', username: 'u', password: 'hidden' },
    }).manifest(),
    (error: Error & { code?: string; host?: string }) => {
      assert.deepEqual([error.code, error.host], ['HTTP_CONNECT', '127.0.0.1:1']);
      assert.doesNotMatch(error.stack ?? '', /hidden/);
      return true;
    },
  );
});
