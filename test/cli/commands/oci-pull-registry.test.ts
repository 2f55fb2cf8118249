// Images of registries, by the shipped command; the registry is in this process.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import {
  newFolder,
  newLayout,
  tarOf,
  TYPES,
  type Described,
  type Layout,
  type LayerOfImage,
} from '../../support/images/source-layout.js';
import { serving } from '../../support/images/serving-layout.js';
import { no, type ScriptedRegistry, type ScriptedRegistryOptions } from '../../support/servers/scripted-registry.js';
import { runCli } from '../../support/cli/run-cli.js';
import { startCli, type Ended, type Started } from '../../support/cli/start-cli.js';

const MIB = 2 ** 20;
const tlsFile = (name: string): string => fileURLToPath(new URL(`../../../../fixtures/tls/${name}`, import.meta.url));
const small = tarOf({ small: 'content '.repeat(1000) });
const SMALL: LayerOfImage[] = [{ tar: small, blob: gzipSync(small) }, { tar: tarOf({ other: 'x' }) }];

interface Scene {
  layout: Layout;
  image: Described;
  server: ScriptedRegistry;
  /** `docker://HOST/a/b:latest` */
  reference: string;
  repository: string;
  start(args: string[], env?: NodeJS.ProcessEnv): Started;
  run(args: string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  pull(args?: string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
}

async function scene(
  t: TestContext,
  layers: readonly LayerOfImage[] = SMALL,
  options: ScriptedRegistryOptions = {},
): Promise<Scene> {
  const layout = newLayout(t);
  return sceneOf(t, layout, layout.image(layers), options);
}

async function sceneOf(
  t: TestContext,
  layout: Layout,
  image: Described,
  options: ScriptedRegistryOptions = {},
): Promise<Scene> {
  const folder = newFolder(t);
  const server = await serving(t, layout, image, options);
  const repository = join(folder, 'repository');
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  // Nothing of whoever runs the tests counts.
  const home = {
    HOME: folder,
    XDG_CONFIG_HOME: '',
    XDG_RUNTIME_DIR: folder,
    REGISTRY_AUTH_FILE: '',
    DOCKER_CONFIG: '',
    NODE_EXTRA_CA_CERTS: '',
    SSL_CERT_FILE: '',
  };
  const start = (args: string[], env: NodeJS.ProcessEnv = {}): Started =>
    startCli(['--repo', repository, 'oci', ...args], { ...home, ...env });
  const run = (args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> => start(args, env).ended;
  const reference = `docker://${server.host}/a/b:latest`;
  const pull = (args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ended> =>
    run(['pull', '--tls-verify=false', '--insecure-policy', reference, 'it', ...args], env);
  return { layout, image, server, reference, repository, start, run, pull };
}

function ok({ status, stdout, stderr }: Ended): string {
  assert.equal(status, 0, stderr);
  return stdout;
}

const blobLines = ({ server }: Scene): string[] => server.lines().filter((line) => line.includes('/blobs/'));

test('a pull is that of the same image in a folder, by either name', async (t) => {
  const scenery = await scene(t);
  const { layout, image, run, server, pull } = scenery;
  layout.publish({ it: image });
  const pulled = await pull();
  const local = ok(await run(['pull', `oci:${layout.path}:it`, 'it']));
  const ids = (text: string): string[] => text.split('\n').slice(0, 4);
  assert.deepEqual(ids(ok(pulled)), ids(local));
  assert.deepEqual(
    ids(
      ok(
        await run([
          'pull',
          '--tls-verify=false',
          '--insecure-policy',
          `registry:${server.host}/a/b@${image.digest}`,
          'it',
        ]),
      ),
    ),
    ids(local),
  );
  assert.match(pulled.stderr, /^blob {2}sha256:[0-9a-f]{12} [\d.]+ (?:B|KiB), [\d.]+ \w+\/s\n/m);
  assert.match(pulled.stderr, /^layer sha256:[0-9a-f]{12} \d entries, [\d.]+ KiB, verified$/m);
});

test('what is there is not fetched, and two layers with one digest are fetched once', async (t) => {
  const [first, second] = SMALL as [LayerOfImage, LayerOfImage];
  const scenery = await scene(t, [first, second, first]);
  ok(await scenery.pull());
  assert.equal(blobLines(scenery).length, 3, 'the config and two blobs');
  const again = await scenery.pull(['--json']);
  assert.equal(blobLines(scenery).length, 4, 'the config');
  assert.deepEqual(
    (JSON.parse(ok(again)) as { layers: { already_present: boolean }[] }).layers.map((layer) => layer.already_present),
    [true, true],
  );
});

test('an artifact is pulled, each of its blobs once', async (t) => {
  const layout = newLayout(t);
  const scenery = await sceneOf(t, layout, layout.artifact(['one', 'two', 'one']));
  assert.match(ok(await scenery.pull()), new RegExp(`^manifest ${scenery.image.digest}\n`));
  assert.equal(blobLines(scenery).length, 3);
});

test('--platform chooses, and one that is not there is named', async (t) => {
  const layout = newLayout(t);
  const here = layout.image(SMALL);
  const other = layout.image([{ tar: small }], { architecture: 'riscv64', os: 'linux' });
  const index = layout.index([{ ...other, platform: { os: 'linux', architecture: 'riscv64' } }, here]);
  const { pull, run, reference } = await sceneOf(t, layout, index);
  assert.match(ok(await pull(['--platform', 'linux/riscv64'])), new RegExp(`^manifest ${other.digest}\n`));
  assert.match(ok(await pull()), new RegExp(`^manifest ${here.digest}\n`));
  const missing = await pull(['--platform', 'plan9/mips']);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /linux\/riscv64/);
  const shown = await run([
    'inspect',
    '--tls-verify=false',
    '--insecure-policy',
    '--platform=linux/riscv64',
    '--manifest',
    reference,
  ]);
  assert.equal(ok(shown), `${readFileSync(layout.fileOf(other.digest), 'utf8')}\n`);
});

test('cut every 5 MiB, a pull fetches hardly a byte twice', async (t) => {
  const tar = tarOf({ large: randomBytes(24 * MIB) });
  const { server, pull } = await scene(t, [{ tar }], { ranges: { cutEvery: 5 * MIB } });
  const { stderr } = await pull().then((ended) => (ok(ended), ended));
  const cuts = stderr.match(/ goes on at byte \d+: .*broke off/g)?.length ?? 0;
  assert.equal(cuts, 4, stderr);
  assert.ok(server.sent - tar.length < cuts * MIB, `${server.sent - tar.length} bytes more than the blob has`);
});

test('statuses that pass are waited for as the server says', async (t) => {
  let refusals = 0;
  const { pull } = await scene(t, SMALL, {
    fault: (request, response) => {
      if (!(request.url ?? '').includes('/blobs/') || refusals >= 4) return false;
      response.setHeader('retry-after', '1');
      no(response, refusals++ % 2 === 0 ? 503 : 429, 'TOOMANYREQUESTS');
      return true;
    },
  });
  const { stderr } = await pull(['--parallel', '1']).then((ended) => (ok(ended), ended));
  assert.match(stderr, /: status 503; again in 1\.\d s\n/);
  assert.match(stderr, /: status 429; again in 1\.\d s\n/);
});

test('a silent server is given up after half a minute, and the blob goes on', async (t) => {
  let stalled = 0;
  const tar = tarOf({ large: randomBytes(MIB) });
  const scenery = await scene(t, [{ tar }], {
    fault: (request, response) => {
      if (
        !(request.url ?? '').includes('/blobs/') ||
        request.headers.range !== undefined ||
        scenery.server.blobs.get(request.url?.split('/').at(-1) ?? '')?.length !== tar.length
      )
        return false;
      stalled = performance.now();
      response.writeHead(200, { 'content-length': tar.length }).write(tar.subarray(0, 300_000));
      return true;
    },
  });
  const { stderr } = await scenery.pull().then((ended) => (ok(ended), ended));
  assert.match(stderr, / goes on at byte 300000: .*says nothing any more/);
  assert.ok(performance.now() - stalled < 36_000, `${performance.now() - stalled} ms`);
});

/** Kills a pull of one large layer when half of it is here. @returns the part that is kept */
async function killHalfway({ start, reference, repository }: Scene, size: number): Promise<string> {
  const { child, ended } = start(['pull', '--tls-verify=false', '--insecure-policy', reference, 'it']);
  const folder = join(repository, '.partial');
  const part = (): string | undefined =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name))[0] : undefined;
  for (let tries = 0; tries < 3000 && child.exitCode === null; tries++) {
    await sleep(10);
    if ((statSync(part() ?? '/nowhere', { throwIfNoEntry: false })?.size ?? 0) >= size / 2) break;
  }
  child.kill('SIGKILL');
  assert.equal((await ended).status, null);
  const kept = part();
  assert.ok(kept !== undefined, 'a part is kept');
  return kept;
}

test('a pull that was killed at a half fetches the other half when it is repeated', async (t) => {
  const tar = tarOf({ large: randomBytes(40 * MIB) });
  const scenery = await scene(t, [{ tar }], { ranges: { rate: 30 * MIB } });
  const { server, pull, run, repository } = scenery;
  await killHalfway(scenery, tar.length);
  assert.equal(statSync(join(repository, '.partial')).mode & 0o777, 0o700);
  await sleep(200);
  server.sent = 0;
  const { stderr } = await pull().then((ended) => (ok(ended), ended));
  assert.ok(server.sent <= tar.length * 0.55, `${((server.sent / tar.length) * 100).toFixed(1)} % were fetched`);
  assert.match(stderr, /; 2\d\.\d\d MiB were here from an earlier pull$/m);
  assert.equal(existsSync(join(repository, '.partial')), false);
  ok(await run(['fsck']));
});

test('a kept part that is wrong costs one pull', async (t) => {
  const tar = tarOf({ large: randomBytes(16 * MIB) });
  const scenery = await scene(t, [{ tar }], { ranges: { rate: 30 * MIB } });
  const { pull } = scenery;
  const part = await killHalfway(scenery, tar.length);
  writeFileSync(part, Buffer.alloc(9 * MIB, 'not what it was '));
  const wrong = await pull();
  assert.equal(wrong.status, 1);
  assert.equal(existsSync(part), false);
  ok(await pull());
});

test('gc removes what killed pulls have kept', async (t) => {
  const tar = tarOf({ large: randomBytes(16 * MIB) });
  const scenery = await scene(t, [{ tar }], { ranges: { rate: 30 * MIB } });
  await killHalfway(scenery, tar.length);
  const said = runCli(['--repo', scenery.repository, 'gc']);
  assert.equal(said.status, 0, said.stderr);
  assert.equal(existsSync(join(scenery.repository, '.partial')), false);
});

test('--max-partial: what would be more is not kept, which is said', async (t) => {
  const tar = tarOf({ large: randomBytes(16 * MIB) });
  const scenery = await scene(t, [{ tar }], { ranges: { rate: 30 * MIB } });
  const { stderr } = await scenery.pull(['--max-partial', '10M']).then((ended) => (ok(ended), ended));
  assert.match(
    stderr,
    /^blob sha256:[0-9a-f]{64} is not kept should this pull be killed: it has 16\.00 MiB, and all that is kept may have 10\.00 MiB \(--max-partial\)$/m,
  );
  const { stderr: quiet } = await scenery.pull(['--max-partial', '0']).then((ended) => (ok(ended), ended));
  assert.doesNotMatch(quiet, /not kept/);
});

const SYSTEM_POLICIES = ['/etc/containers/policy.json', '/usr/share/containers/policy.json'].filter((path) =>
  existsSync(path),
);
test('without a policy.json a line says so', {
  skip: SYSTEM_POLICIES.length > 0 && `this machine has ${SYSTEM_POLICIES.join()}`,
}, async (t) => {
  const { run, reference } = await scene(t);
  const { stderr } = await run(['pull', '--tls-verify=false', reference]).then((ended) => (ok(ended), ended));
  assert.match(stderr, /^there is no policy\.json: images are taken whoever signed them\n/);
});

test("policy.json: the user's, another one, or none", async (t) => {
  const { run, reference, repository } = await scene(t);
  const file = join(repository, '../.config/containers/policy.json');
  const strict = join(repository, '../strict.json');
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(strict, '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/nowhere"}]}');
  assert.doesNotMatch((await run(['pull', '--tls-verify=false', reference])).stderr, /policy/);
  const remote = await run(['pull', '--tls-verify=false', '--policy', strict, reference, 'other']);
  assert.equal(remote.status, 1);
  assert.match(remote.stderr, /the policy names the key \/nowhere, which does not exist/);
});

test('who to be: --creds, --authfile, or nobody', async (t) => {
  const { run, reference, repository, server } = await scene(t, SMALL, { basic: true });
  const inspect = (...args: string[]): Promise<Ended> =>
    run(['inspect', '--tls-verify=false', '--insecure-policy', '--config', ...args, reference], {
      NODE_DEBUG: 'cfsbridge,undici,fetch',
    });
  const authfile = join(repository, '../auth.json');
  writeFileSync(
    authfile,
    JSON.stringify({ auths: { [server.host]: { auth: Buffer.from('user:secret').toString('base64') } } }),
  );
  for (const args of [
    ['--creds', 'user:secret'],
    ['--authfile', authfile],
  ]) {
    const answer = await inspect(...args);
    assert.match(ok(answer), /"rootfs"/);
    assert.doesNotMatch(answer.stderr, /secret|dXNlcjpzZWNyZXQ/);
    assert.match(answer.stderr, /wants basic/);
  }
  for (const args of [[], ['--no-creds'], ['--creds', 'user:wrong']]) {
    const answer = await inspect(...args);
    assert.equal(answer.status, 1);
    assert.match(answer.stderr, new RegExp(`${server.host}/a/b:latest: .*status 401`));
  }
});

test('a private authority: certs.d by --cert-dir, NODE_EXTRA_CA_CERTS, or none', async (t) => {
  const tls = { cert: readFileSync(tlsFile('server.crt')), key: readFileSync(tlsFile('server.key')) };
  const { run, reference, repository } = await scene(t, SMALL, { tls });
  const certs = join(repository, '../certs');
  mkdirSync(certs);
  copyFileSync(tlsFile('ca.crt'), join(certs, 'ca.crt'));
  const pull = (args: string[], env?: NodeJS.ProcessEnv): Promise<Ended> =>
    run(['pull', '--insecure-policy', ...args, reference, 'it'], env);
  ok(await pull(['--cert-dir', certs]));
  ok(await pull([], { NODE_EXTRA_CA_CERTS: tlsFile('ca.crt') }));
  const refused = await pull([]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no encrypted connection: .*; a private authority goes into certs\.d; .*--cert-dir/);
});

test('a mirror that fails is passed over, which is said', async (t) => {
  const { run, server, repository } = await scene(t);
  const conf = join(repository, '../registries.conf');
  writeFileSync(
    conf,
    `[[registry]]\nlocation = "${server.host}"\ninsecure = true\n[[registry.mirror]]\nlocation = ` +
      '"127.0.0.1:1/mirror"\ninsecure = true\n',
  );
  const { stderr } = await run([
    'pull',
    '--insecure-policy',
    '--registries-conf',
    conf,
    `docker://${server.host}/a/b`,
    'it',
  ]).then((ended) => (ok(ended), ended));
  assert.match(stderr, /^mirror 127\.0\.0\.1:1 is passed over: .*cannot be reached/m);
});

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
test('a registry at an address of IPv6', { skip: !hasIpv6 && 'this machine has no ::1' }, async (t) => {
  const { reference, pull } = await scene(t, SMALL, { address: '::1' });
  assert.match(reference, /\/\/\[::1\]:/);
  ok(await pull());
});

test('oci tags lists, and oci inspect shows what is in the registry until it is here', async (t) => {
  const { layout, image, run, server, reference, pull } = await scene(t);
  server.addManifest(readFileSync(layout.fileOf(image.digest)), 'v1', TYPES.manifest);
  assert.equal(ok(await run(['tags', '--tls-verify=false', `docker://${server.host}/a/b`])), 'latest\nv1\n');
  assert.deepEqual(JSON.parse(ok(await run(['tags', '--json', '--tls-verify=false', `registry:${server.host}/a/b`]))), {
    repository: `registry:${server.host}/a/b`,
    tags: ['latest', 'v1'],
  });
  const shown = JSON.parse(ok(await run(['inspect', '--tls-verify=false', '--insecure-policy', reference]))) as Record<
    string,
    string
  >;
  assert.deepEqual(Object.keys(shown), ['digest', 'manifest', 'config']);
  assert.equal(shown['digest'], image.digest);
  assert.equal(shown['manifest'], readFileSync(layout.fileOf(image.digest), 'utf8'));
  ok(await pull());
  ok(await run(['tag', image.digest, reference]));
  const before = server.requests.length;
  assert.deepEqual(Object.keys(JSON.parse(ok(await run(['inspect', reference]))) as object), [
    'manifest',
    'config',
    'referrers',
    'composefs_erofs',
    'composefs_boot_erofs',
  ]);
  assert.equal(server.requests.length, before);
});
