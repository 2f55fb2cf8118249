// What a registry can try with whoever pulls from it.
import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { randomBytes } from 'node:crypto';
import { runCli } from '../support/cli/run-cli.js';
import { startCli, type Ended } from '../support/cli/start-cli.js';
import { serving } from '../support/images/serving-layout.js';
import { newFolder, newLayout, tarOf, TYPES, type Layout } from '../support/images/source-layout.js';
import { endless, scriptedHttp } from '../support/servers/scripted-http.js';
import type { ScriptedRegistry, ScriptedRegistryOptions } from '../support/servers/scripted-registry.js';
import { attack, ATTACKER, whyNoAttacker } from './attack.js';

const TAR = tarOf({ file: randomBytes(300_000) });

interface Scene {
  layout: Layout;
  server: ScriptedRegistry;
  repository: string;
  layer: string;
  pull(...args: string[]): Promise<Ended>;
}

async function scene(t: TestContext, options: ScriptedRegistryOptions = {}, tar = TAR): Promise<Scene> {
  const layout = newLayout(t);
  const image = layout.image([{ tar }]);
  const server = await serving(t, layout, image, options);
  const folder = newFolder(t);
  const repository = join(folder, 'repository');
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  const { layers } = JSON.parse(readFileSync(layout.fileOf(image.digest), 'utf8')) as { layers: { digest: string }[] };
  const pull = (...args: string[]): Promise<Ended> =>
    startCli(
      [
        '--repo',
        repository,
        'oci',
        'pull',
        '--tls-verify=false',
        '--insecure-policy',
        ...args,
        `docker://${server.host}/a/b`,
        'it',
      ],
      { HOME: folder, XDG_CONFIG_HOME: '' },
    ).ended;
  return { layout, server, repository, layer: layers[0]?.digest ?? '', pull };
}

function refused({ status, stdout, stderr }: Ended, repository: string, message: RegExp): void {
  assert.equal(status, 1, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, message);
  const names = existsSync(join(repository, 'streams'))
    ? (readdirSync(join(repository, 'streams'), { recursive: true }) as string[])
    : [];
  assert.ok(!names.some((name) => /oci-(?:manifest|layer)|refs\/oci\/it/.test(name)), names.join());
}

attack('a registry sends a layer that does not end', {}, async (t) => {
  let sent = { sent: 0 };
  const { layer, repository, pull } = await scene(t, {
    fault: (request, response) => {
      if (!request.url?.endsWith(layerOf())) return false;
      response.writeHead(200);
      sent = endless(response, Buffer.alloc(65536));
      return true;
    },
  });
  const layerOf = (): string => layer;
  refused(await pull(), repository, /TAR_|tar|more than the \d+ bytes/i);
  assert.ok(sent.sent < 32 << 20, `${sent.sent} bytes were sent`);
  return 'the pull ends with an error soon after the size the manifest says';
});

attack('a registry gives another layer of the same size', {}, async (t) => {
  const { server, layer, repository, pull } = await scene(t);
  server.blobs.set(layer, Buffer.concat([TAR.subarray(0, 2000), Buffer.alloc(1, 'x'), TAR.subarray(2001)]));
  refused(await pull(), repository, new RegExp(layer));
  return 'an error that names the digest; nothing has a name';
});

attack('a registry gives other bytes for a manifest that an index names', {}, async (t) => {
  const layout = newLayout(t);
  const [good, bad] = [layout.image([{ tar: TAR }]), layout.image([{ tar: tarOf({ bad: 'x' }) }])];
  const index = layout.index([good]);
  const server = await serving(t, layout, index);
  server.manifests.set(good.digest, { bytes: readFileSync(layout.fileOf(bad.digest)), type: TYPES.manifest });
  const { status, stderr } = await startCli([
    '--no-repo',
    'oci',
    'inspect',
    '--tls-verify=false',
    '--insecure-policy',
    '--manifest',
    `docker://${server.host}/a/b`,
  ]).ended;
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`${good.digest}`));
  return 'an error that names both digests';
});

attack('a registry sends a manifest of 5 MiB', {}, async (t) => {
  const { server, repository, pull } = await scene(t);
  server.addManifest({ schemaVersion: 2, mediaType: TYPES.manifest, filler: 'x'.repeat(5 << 20) }, 'latest');
  refused(await pull(), repository, /the answer is longer than 4194304 bytes/);
  return 'it is read up to 4 MiB, then refused';
});

attack('a registry sends blobs to another host, to learn the password there', {}, async (t) => {
  const { blobs, server, other, pull } = await redirecting(t);
  const ended = await pull('--creds', 'user:secret');
  assert.equal(ended.status, 0, ended.stderr);
  assert.ok(other.requests.length > 0 && blobs.size > 0);
  assert.ok(server.requests.some(({ headers }) => headers.authorization !== undefined));
  assert.ok(!other.requests.some(({ headers }) => headers.authorization !== undefined));
  return 'the blobs come from there, the password stays';
});

async function redirecting(
  t: TestContext,
): Promise<Scene & { blobs: Map<string, Buffer>; other: Awaited<ReturnType<typeof scriptedHttp>> }> {
  let blobs = new Map<string, Buffer>();
  const other = await scriptedHttp(t, (request, response) => void response.end(blobs.get(request.url?.slice(1) ?? '')));
  const scenery = await scene(t, {
    basic: true,
    fault: (request, response) => {
      const [, digest] = /\/blobs\/(sha256:.*)$/.exec(request.url ?? '') ?? [];
      if (digest === undefined || request.headers.authorization === undefined) return false;
      response.writeHead(307, { location: `${other.origin}/${digest}` }).end();
      return true;
    },
  });
  blobs = scenery.server.blobs;
  return { ...scenery, blobs, other };
}

attack('a registry writes to the terminal in errors, warnings and media types', {}, async (t) => {
  const bad = '\x1b[2J\x9b\u202eevil';
  const { repository, pull } = await scene(t, {
    fault: (request, response) => {
      response.setHeader('warning', `299 - "${Buffer.from('\x9bmore', 'latin1').toString('latin1')}"`);
      if (!request.url?.includes('/manifests/')) return false;
      response
        .writeHead(418, { 'content-type': 'application/json' })
        .end(JSON.stringify({ errors: [{ code: bad, message: bad }] }));
      return true;
    },
  });
  const ended = await pull();
  refused(ended, repository, /\\x1b\[2J/);
  assert.doesNotMatch(ended.stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  return 'controls are shown as \\xHH';
});

attack(
  'a second user puts a folder for kept parts into a repository that root pulls into',
  { skip: whyNoAttacker() },
  async (t) => {
    const large = tarOf({ large: randomBytes(9 << 20) });
    const { repository, pull } = await scene(t, {}, large);
    mkdirSync(join(repository, '.partial'), 0o700);
    chownSync(join(repository, '.partial'), ATTACKER, ATTACKER);
    const { status, stderr } = await pull();
    assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(join(repository, '.partial')), []);
    return 'root pulls, and keeps nothing there';
  },
);
