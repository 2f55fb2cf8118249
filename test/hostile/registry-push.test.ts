// What a registry, or a folder, can try with whoever pushes to it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';
import { startCli, type Ended } from '../support/cli/start-cli.js';
import { newFolder, newLayout, tarOf } from '../support/images/source-layout.js';
import { scriptedHttp } from '../support/servers/scripted-http.js';
import {
  scriptedRegistry,
  type ScriptedRegistry,
  type ScriptedRegistryOptions,
} from '../support/servers/scripted-registry.js';
import { attack, ATTACKER, whyNoAttacker } from './attack.js';

const TAR = tarOf({ file: randomBytes(2 << 20) });

interface Scene {
  folder: string;
  repository: string;
  server: ScriptedRegistry;
  push(...args: string[]): Promise<Ended>;
}

async function scene(t: TestContext, options: ScriptedRegistryOptions = {}): Promise<Scene> {
  const layout = newLayout(t);
  layout.publish({ it: layout.image([{ tar: TAR }]) });
  const folder = newFolder(t);
  const repository = join(folder, 'repository');
  for (const words of [
    ['init', '--insecure'],
    ['oci', 'pull', `oci:${layout.path}:it`, 'it'],
  ])
    assert.equal(runCli(['--repo', repository, ...words]).status, 0);
  const server = await scriptedRegistry(t, options);
  const push = (...args: string[]): Promise<Ended> =>
    startCli(['--repo', repository, 'oci', 'push', ...args], { HOME: folder, XDG_CONFIG_HOME: '' }).ended;
  return { folder, repository, server, push };
}

const to = ({ server }: Scene): string[] => ['--tls-verify=false', 'it', `docker://${server.host}/a/b`];

attack('a registry has an upload go to another host, to learn the password there', {}, async (t) => {
  const other = await scriptedHttp(t, async (request, response) => {
    for await (const _ of request);
    response.writeHead(request.method === 'PATCH' ? 202 : 201, { location: '/next' }).end();
  });
  const scenery = await scene(t, {
    basic: true,
    fault: (request, response) => {
      if (request.method !== 'POST' || request.headers.authorization === undefined) return false;
      response.writeHead(202, { location: `${other.origin}/put` }).end();
      return true;
    },
  });
  const { status, stderr } = await scenery.push('--creds', 'user:secret', ...to(scenery));
  assert.equal(status, 0, stderr);
  assert.ok(other.requests.length > 0);
  assert.ok(!other.requests.some(({ headers }) => headers.authorization !== undefined));
  return 'the bytes go there, the password does not';
});

attack('a registry stores another manifest than the one that is pushed', {}, async (t) => {
  const scenery = await scene(t, {
    fault: (request, response) => {
      if (request.method !== 'PUT' || !request.url?.includes('/manifests/')) return false;
      response.writeHead(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }).end();
      return true;
    },
  });
  const { status, stdout, stderr } = await scenery.push(...to(scenery));
  assert.deepEqual([status, stdout], [1, '']);
  assert.match(stderr, /manifest stored in .*: expected sha256:[0-9a-f]{64}, got sha256:0{64}/);
  return 'an error that names both digests';
});

attack('a registry says that it has more of an upload than there is', {}, async (t) => {
  let cut = false;
  const scenery = await scene(t, {
    fault: (request, response) => {
      if (request.method === 'PATCH' && !cut) {
        cut = true;
        request.once('data', () => request.socket.destroy());
      }
      if (request.method !== 'GET' || !request.url?.includes('/uploads/')) return false;
      response.writeHead(204, { location: request.url, range: '0-999999999999' }).end();
      return true;
    },
  });
  const { status, stderr } = await scenery.push(...to(scenery));
  assert.equal(status, 0, stderr);
  assert.ok([...scenery.server.blobs.values()].some((blob) => blob.equals(TAR)));
  return 'the blob is sent anew';
});

attack(
  'a second user has a folder for notes in a repository that root pushes from',
  { skip: whyNoAttacker() },
  async (t) => {
    const scenery = await scene(t);
    const notes = join(scenery.repository, '.push');
    mkdirSync(notes, { mode: 0o700 });
    chownSync(notes, ATTACKER, ATTACKER);
    const { status, stderr } = await scenery.push(...to(scenery));
    assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(notes), []);
    return 'root pushes, reads nothing there and writes nothing';
  },
);

attack('a layout has a symlink where its blobs should be', {}, async (t) => {
  const { folder, push } = await scene(t);
  mkdirSync(join(folder, 'layout'));
  mkdirSync(join(folder, 'elsewhere/sha256'), { recursive: true });
  symlinkSync('../elsewhere', join(folder, 'layout/blobs'));
  const { status, stderr } = await push('it', `oci:${join(folder, 'layout')}`);
  assert.equal(status, 1);
  assert.match(stderr, /is a symlink or behind one/);
  assert.deepEqual(readdirSync(join(folder, 'elsewhere/sha256')), []);
  return 'nothing is written behind it';
});
