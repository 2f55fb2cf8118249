// Deltas, by the shipped command: from folders, and from a registry in this process.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDelta } from '../../../src/oci/delta/create.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';
import { fixture } from '../../support/fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';
import { layerTar } from '../../support/images/delta-pair.js';
import { newLayout, newRepository, type Described, type LayerOfImage } from '../../support/images/source-layout.js';
import { noise } from '../../support/random.js';
import { startCli, type Ended, type Started } from '../../support/cli/start-cli.js';
import {
  MANIFEST,
  scriptedRegistry,
  type ScriptedRegistry,
  type ScriptedRegistryOptions,
} from '../../support/servers/scripted-registry.js';
import { scratch } from '../../support/scratch.js';

interface Scene {
  /** of the recorded layouts */
  source: string;
  repository: string;
  pull(...args: string[]): Promise<Ended>;
}

function scene(t: TestContext, name = 'real'): Scene {
  const source = scratch(t);
  execFileSync('tar', ['-C', source, '-xpf', '-'], { input: fixture(`delta/${name}/source.tar`) });
  const home = scratch(t);
  const repository = join(home, 'repository');
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  const env = { HOME: home, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: home, REGISTRY_AUTH_FILE: '', DOCKER_CONFIG: '' };
  return {
    source,
    repository,
    pull: (...args) => startCli(['--repo', repository, 'oci', 'pull', ...args], env).ended,
  };
}

/** Puts what a layout has into the registry, under a tag. @returns the reference */
function publish(server: ScriptedRegistry, layout: string, tag: string): string {
  const read = (digest: string): Buffer => readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const [{ digest }] = index.manifests as [{ digest: string }];
  const stored = { bytes: read(digest), type: MANIFEST };
  server.manifests.set(tag, stored);
  server.manifests.set(digest, stored);
  for (const name of readdirSync(join(layout, 'blobs/sha256'))) server.addBlob(read(`sha256:${name}`));
  return `docker://${server.host}/a/b:${tag}`;
}

const REGISTRY = ['--tls-verify=false', '--insecure-policy'];

function ok({ status, stderr }: Ended): void {
  assert.equal(status, 0, stderr);
}

function manifestIn({ stdout }: Ended): string {
  return /^manifest (\S+)$/m.exec(stdout)?.[1] ?? assert.fail(stdout);
}

test('a delta in a folder makes the image that a pull of it would, and says what cfsctl says', async (t) => {
  const { source, pull } = scene(t);
  ok(await pull(`oci:${source}/base`, 'base'));
  const made = await pull(`oci:${source}/delta`, 'new');
  ok(made);
  assert.match(
    made.stdout,
    /^manifest sha256:a933.*\nconfig {3}sha256:985e.*\nverity {3}\w+\ntagged {3}new\nobjects {2}6 new \+ /,
  );
  const whole = await pull(`oci:${source}/target`, 'whole');
  assert.equal(manifestIn(made), manifestIn(whole));
  assert.match(whole.stdout, /^objects {2}0 new \+ 0 already present/m);
});

test('where the image that is changed is missing, its config is named, or the new image is pulled', async (t) => {
  const { source, pull, repository } = scene(t);
  const refused = await pull(`oci:${source}/delta`, 'new');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /sha256:858bcc4c93c3a0e74f0d16f06444bca244db1660c3a7c4c34750de40a8b44c68/);
  assert.doesNotMatch(runCli(['--repo', repository, 'oci', 'images']).stdout, /new/);
  const pulled = await pull('--fallback', `oci:${source}/target`, `oci:${source}/delta`, 'new');
  ok(pulled);
  assert.match(pulled.stderr, /warning: .*sha256:858b.*oci:.*target is pulled instead/);
  assert.match(manifestIn(pulled), /^sha256:a933/);
});

test('options about deltas are refused where none is', async (t) => {
  const { source, pull } = scene(t);
  for (const option of [
    ['--verify-key', join(source, 'x')],
    ['--fallback', 'oci:x'],
    ['--parallel', '2'],
  ]) {
    const { status, stderr } = await pull(...option, `oci:${source}/base`, 'base');
    assert.equal(status, 2, stderr);
    assert.ok(stderr.includes(option[0] as string), stderr);
  }
});

test('a key has to have signed what the delta makes', async (t) => {
  const { source, pull } = scene(t, 'signatures');
  ok(await pull(`oci:${source}/base`, 'base'));
  const key = (name: string): string[] => ['--verify-key', join(source, 'keys', `${name}.pub`)];
  for (const [name, delta] of [
    ['two', 'good'],
    ['one', 'unsigned'],
    ['missing', 'good'],
  ] as const) {
    const { status, stderr } = await pull(...key(name), `oci:${source}/d/${delta}`, 'new');
    assert.equal(status, 1, stderr);
  }
  ok(await pull(...key('one'), `oci:${source}/d/good`, 'new'));
});

test('a delta in a registry is fetched once, goes on after a cut, and leaves no files', async (t) => {
  const { source, pull, repository } = scene(t);
  let cuts = 0;
  const server = await scriptedRegistry(t, {
    fault: ({ url = '', headers }, response) => {
      const digest = /\/blobs\/(sha256:\w+)$/.exec(url)?.[1];
      const blob = digest === undefined ? undefined : server.blobs.get(digest);
      if (blob === undefined || blob.length < 1500 || headers.range !== undefined) return false;
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, 1000), () => response.destroy());
      cuts++;
      return true;
    },
  });
  ok(await pull(`oci:${source}/base`, 'base'));
  const made = await pull(...REGISTRY, publish(server, join(source, 'delta'), 'delta'), 'new');
  ok(made);
  assert.ok(cuts > 0);
  const whole = await pull(`oci:${source}/target`, 'whole');
  assert.equal(manifestIn(made), manifestIn(whole));
  assert.deepEqual(
    readdirSync(repository).filter((name) => name.startsWith('tmp') && readdirSync(join(repository, name)).length > 0),
    [],
  );
});

test('from a registry, the subject of a delta is pulled where its base is missing', async (t) => {
  const { source, pull } = scene(t);
  const server = await scriptedRegistry(t);
  publish(server, join(source, 'target'), 'latest');
  const pulled = await pull(...REGISTRY, publish(server, join(source, 'delta'), 'delta'), 'new');
  ok(pulled);
  assert.match(pulled.stderr, /warning: .*is pulled instead/);
  assert.match(manifestIn(pulled), /^sha256:a933/);
});

/** A registry with the old and the new image of a pair, and the delta of them; it has a patch of 12 MiB, and a layer. */
async function slowScene(t: TestContext, options: ScriptedRegistryOptions): Promise<SlowScene> {
  const layout = newLayout(t);
  const words = (name: string): Buffer => Buffer.from(noise(50_000, name).toString('hex'));
  const image = (more: LayerOfImage[], files: [string, Buffer][]): Described =>
    layout.image([{ tar: layerTar([['etc/'], ['etc/words', words('old')], ...files]) }, ...more]);
  layout.publish({
    old: image([], []),
    new: image([{ tar: layerTar([['other', noise(300_000, 'other')]]) }], [['large', noise(12 << 20, 'large')]]),
  });
  const made = await newRepository(t);
  for (const name of ['old', 'new']) {
    await using source = await openSource(`oci:${layout.path}:${name}`);
    await pullImage(made.repository, source, { name });
  }
  await createDelta(made.repository, 'old', 'new', `oci:${layout.path}-delta`);
  const home = scratch(t);
  const repository = join(home, 'repository');
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  const env = { HOME: home, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: home, REGISTRY_AUTH_FILE: '', DOCKER_CONFIG: '' };
  const server = await scriptedRegistry(t, options);
  const delta = publish(server, `${layout.path}-delta`, 'delta');
  const start = (...args: string[]): Started => startCli(['--repo', repository, 'oci', 'pull', ...args], env);
  ok(await start(`oci:${layout.path}:old`, 'old').ended);
  return { server, repository, start: (...args) => start(...REGISTRY, ...args, delta, 'new') };
}

interface SlowScene {
  server: ScriptedRegistry;
  repository: string;
  start(...args: string[]): Started;
}

/** Sizes of what is kept of blobs, in bytes. */
function partsOf(repository: string): number[] {
  const folder = join(repository, '.partial');
  return existsSync(folder) ? readdirSync(folder).map((name) => statSync(join(folder, name)).size) : [];
}

const LARGE = 8 << 20;
const isOfLarge = (server: ScriptedRegistry, url = ''): boolean =>
  (server.blobs.get(url.split('/').at(-1) ?? '')?.length ?? 0) > LARGE;

test('a delta that was killed goes on at the layer that was not complete', async (t) => {
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  let hold = true;
  const { server, start, repository } = await slowScene(t, {
    // The second layer does not come.
    fault: ({ url, method }, response) => {
      const size = server.blobs.get(url?.split('/').at(-1) ?? '')?.length ?? 0;
      if (!hold || method !== 'GET' || size < 200_000 || size > LARGE) return false;
      response.writeHead(200, { 'content-length': size });
      response.write(Buffer.alloc(1));
      reach();
      return true;
    },
  });
  const { child, ended } = start('--parallel', '1');
  await Promise.race([reached, ended]);
  const named = (): number =>
    readdirSync(join(repository, 'streams')).filter((name) => name.startsWith('oci-layer-')).length;
  // That of the old image, and the first one of the new image.
  for (let tries = 0; tries < 3000 && named() < 2; tries++) await sleep(10);
  child.kill('SIGKILL');
  assert.equal((await ended).status, null);
  hold = false;
  const large = (): number => server.requests.filter(({ url }) => isOfLarge(server, url)).length;
  const before = large();
  assert.ok(before > 0);
  ok(await start().ended);
  assert.equal(large(), before, 'the first layer is not fetched again');
  assert.equal(runCli(['--repo', repository, 'fsck']).status, 0);
});

test('with --max-partial the patch that was under way goes on where it was', async (t) => {
  for (const [options, share] of [
    [['--max-partial', '1G'], 0.7],
    [[], 1],
  ] as const) {
    const ranges = { rate: 16 << 20 };
    const { server, start, repository } = await slowScene(t, { ranges });
    const { child, ended } = start('--parallel', '1', ...options);
    for (let tries = 0; tries < 3000 && child.exitCode === null; tries++) {
      await sleep(10);
      const begun = server.requests.findIndex(({ url }) => isOfLarge(server, url)) >= 0;
      if (options.length > 0 ? (partsOf(repository)[0] ?? 0) > 6 << 20 : begun && tries > 20) break;
    }
    child.kill('SIGKILL');
    assert.equal((await ended).status, null);
    await sleep(100);
    assert.equal(partsOf(repository).length, options.length > 0 ? 1 : 0);
    server.sent = 0;
    ok(await start(...options).ended);
    assert.ok(server.sent <= (12.5 * share + 1) * 2 ** 20, `${server.sent} bytes were fetched`);
    assert.deepEqual(partsOf(repository), []);
    assert.equal(runCli(['--repo', repository, 'fsck']).status, 0);
  }
});
