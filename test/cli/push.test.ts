// Pushes to a registry, by the shipped command; the registry is in this process.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { newFolder, newLayout, tarOf, TYPES, type Described, type Layout } from '../support/images/source-layout.js';
import {
  no,
  scriptedRegistry,
  sha256,
  type ScriptedRegistry,
  type ScriptedRegistryOptions,
} from '../support/servers/scripted-registry.js';
import { runCli } from '../support/cli/run-cli.js';
import { startCli, type Ended, type Started } from '../support/cli/start-cli.js';

const MIB = 1 << 20;
const GZIP = `${TYPES.layer}+gzip`;
const small = tarOf({ small: 'content '.repeat(1000) });
const large = tarOf({ large: randomBytes(16 * MIB) });
const zipped = (tar: Buffer) => ({ tar, blob: gzipSync(tar), descriptor: { mediaType: GZIP } });

interface Scene {
  layout: Layout;
  image: Described;
  server: ScriptedRegistry;
  repository: string;
  reference: string;
  start(args: string[]): Started;
  push(...args: string[]): Promise<Ended>;
}

async function scene(
  t: TestContext,
  layers: Parameters<Layout['image']>[0],
  options: ScriptedRegistryOptions = {},
): Promise<Scene> {
  const layout = newLayout(t);
  const image = layout.image(layers);
  layout.publish({ it: image });
  const folder = newFolder(t);
  const repository = join(folder, 'repository');
  for (const words of [
    ['init', '--insecure'],
    ['oci', 'pull', `oci:${layout.path}:it`, 'it'],
  ])
    assert.equal(runCli(['--repo', repository, ...words]).status, 0);
  const server = await scriptedRegistry(t, options);
  const home = { HOME: folder, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: folder, REGISTRY_AUTH_FILE: '' };
  const start = (args: string[]): Started => startCli(['--repo', repository, 'oci', ...args], home);
  const reference = `docker://${server.host}/a/b:latest`;
  const push = (...args: string[]): Promise<Ended> =>
    start(['push', '--tls-verify=false', 'it', reference, ...args]).ended;
  return { layout, image, server, repository, reference, start, push };
}

function ok({ status, stdout, stderr }: Ended): string {
  assert.equal(status, 0, stderr);
  return stdout;
}

interface Json {
  manifest_digest: string;
  stored_manifest_digest: string;
  unchanged: boolean;
  blobs: { digest: string; size: number; outcome: string }[];
  referrers: string[];
}

const jsonOf = (ended: Ended): Json => JSON.parse(ok(ended)) as Json;

test('a push of plain layers is the image, and a second one sends nothing', async (t) => {
  const { image, server, push } = await scene(t, [{ tar: small }, { tar: large }, { tar: small }]);
  const first = await push();
  assert.match(
    ok(first),
    new RegExp(
      `^manifest ${image.digest}\nconfig   sha256:\\w+\nblobs    3 sent, [\\d.]+ MiB; 0 mounted, 0 B; 0 ` +
        'present, 0 B\n$',
    ),
  );
  assert.match(first.stderr, /^blob {2}sha256:[0-9a-f]{12} 16\.0\d MiB, [\d.]+ \w+\/s$/m);
  assert.equal(server.manifests.get('latest')?.type, TYPES.manifest);
  const { received } = server;
  const again = await push('--json');
  assert.deepEqual(
    jsonOf(again).blobs.map(({ outcome }) => outcome),
    ['present', 'present', 'present'],
  );
  assert.equal(server.received, received);
  assert.equal(server.requests.filter(({ method }) => method === 'PATCH').length, 1);
});

test('a layer that is compressed anew says so, and a second push sends nothing', async (t) => {
  const { image, server, push, start, repository } = await scene(t, [zipped(large), zipped(small)]);
  for (const args of [[], ['--compression', 'zstd', '--compression-level', '1']]) {
    const first = await push(...args);
    const [, digest] = /^manifest (sha256:\w+)\n/.exec(ok(first)) ?? [];
    assert.notEqual(digest, image.digest);
    assert.match(first.stdout, new RegExp(`another one than ${image.digest} in the repository`));
    assert.match(first.stderr, /^layer sha256:\w{12} is compressed anew: /m);
    const { received } = server;
    const again = jsonOf(await push('--json', ...args));
    assert.equal(again.manifest_digest, digest);
    assert.equal(again.unchanged, false);
    assert.equal(server.received, received);
  }
  ok(await start(['pull', '--tls-verify=false', '--insecure-policy', `docker://${server.host}/a/b`, 'back']).ended);
  const layers = (name: string): string[] =>
    (
      JSON.parse(runCli(['--repo', repository, 'oci', 'inspect', '--config', name]).stdout) as {
        rootfs: { diff_ids: string[] };
      }
    ).rootfs.diff_ids;
  assert.deepEqual(layers('back'), layers('it'));
});

test('a registry that has the blobs of the image gets its manifest, to the bit', async (t) => {
  const { layout, image, server, push } = await scene(t, [zipped(large), zipped(small)]);
  for (const name of readdirSync(join(layout.path, 'blobs/sha256')))
    server.addBlob(readFileSync(layout.fileOf(`sha256:${name}`)));
  const result = jsonOf(await push('--json'));
  assert.ok(result.unchanged);
  assert.deepEqual(server.manifests.get('latest')?.bytes, readFileSync(layout.fileOf(image.digest)));
  assert.equal(server.received, 0);
});

test('blobs of another repository are taken over', async (t) => {
  const { image, server, push } = await scene(t, [zipped(large)], { mounts: true });
  const result = jsonOf(await push('--json', '--mount-from', `${server.host}/other/repo`));
  assert.deepEqual(
    result.blobs.map(({ outcome }) => outcome),
    ['mounted', 'mounted'],
  );
  assert.equal(result.manifest_digest, image.digest);
  assert.equal(server.received, 0);
});

/** Kills a push when the registry has so many bytes, and waits until that has noticed. */
async function killed({ server, start, reference }: Scene, after: number, args: string[] = []): Promise<void> {
  const { child, ended } = start(['push', '--tls-verify=false', 'it', reference, ...args]);
  const timer = setInterval(() => server.received >= after && child.kill('SIGKILL'), 1);
  const { status } = await ended;
  clearInterval(timer);
  assert.equal(status, null, 'it ended before it was killed');
  while (server.reading > 0) await delay(1);
}

/** The registry takes bytes slowly. */
const slowly: NonNullable<ScriptedRegistryOptions['fault']> = (request) => {
  if (request.method === 'PATCH') {
    const timer = setInterval(() => (request.pause(), setTimeout(() => request.resume(), 3)), 6);
    request.on('close', () => clearInterval(timer));
  }
  return false;
};

for (const args of [[], ['--compression', 'zstd']])
  test(`a push that was killed goes on where it was (${args[1] ?? 'gzip'})`, async (t) => {
    const scenery = await scene(t, [zipped(large)], { fault: slowly });
    const { server, push, repository } = scenery;
    await killed(scenery, 9 * MIB, args);
    const before = server.received;
    const next = await push(...args);
    ok(next);
    assert.match(next.stderr, /goes on at byte \d+, where an earlier push ended/);
    assert.ok(server.received - before <= 0.55 * large.length, `${server.received - before} of ${large.length}`);
    assert.ok(readdirSync(join(repository, '.push')).every((name) => !name.startsWith('upload')));
    assert.equal(runCli(['--repo', repository, 'gc']).status, 0);
    assert.ok(!existsSync(join(repository, '.push')));
  });

test('a registry that does not tell how far it is gets the layer anew, and that is said', async (t) => {
  const scenery = await scene(t, [zipped(large)], { fault: slowly, uploadStatus: false });
  await killed(scenery, 4 * MIB);
  const next = await scenery.push();
  ok(next);
  assert.match(next.stderr, /^blob {2}sha256:\w{12} is sent anew: the registry does not tell/m);
});

for (const knowsSubject of [true, false])
  test(`signatures go along, ${knowsSubject ? 'which the registry notes itself' : 'into the index under the fallback tag'}`, async (t) => {
    const layout = newLayout(t);
    const image = layout.image([{ tar: small }]);
    const { digest, size, mediaType } = image;
    const signature = layout.artifact(['signed'], { subject: { digest, size, mediaType }, annotations: { by: 'me' } });
    layout.publish({ it: image, signature });
    const scenery = await scene(t, [{ tar: small }], {
      fault: (request, response) => {
        if (knowsSubject && request.method === 'PUT' && request.url?.endsWith(signature.digest))
          response.setHeader('oci-subject', digest);
        return false;
      },
    });
    const { server, start, push } = scenery;
    const tag = digest.replace(':', '-');
    const other = { mediaType, digest: `sha256:${'0'.repeat(64)}`, size: 2, future: 'stays' };
    server.addManifest({ schemaVersion: 2, mediaType: TYPES.index, manifests: [other], more: 1 }, tag, TYPES.index);
    for (const name of ['it', 'signature']) ok(await start(['pull', `oci:${layout.path}:${name}`, name]).ended);
    assert.deepEqual(jsonOf(await push('--json', '--referrers')).referrers, [signature.digest]);
    assert.ok(server.manifests.has(signature.digest));
    const index = JSON.parse(server.manifests.get(tag)?.bytes.toString() ?? '') as {
      manifests: object[];
      more: number;
    };
    const added = {
      mediaType,
      digest: signature.digest,
      size: signature.size,
      artifactType: 'application/x-test',
      annotations: { by: 'me' },
    };
    assert.deepEqual(index.manifests, knowsSubject ? [other] : [other, added]);
    assert.equal(index.more, 1);
  });

test('a registry that says no, and options that do not fit', async (t) => {
  const { push, start, repository } = await scene(t, [{ tar: small }], {
    fault: (request, response) => request.method === 'POST' && (no(response, 403, 'DENIED', 'read\x1b[2J only'), true),
  });
  const refused = await push();
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /DENIED: read\\x1b\[2J only \(status 403\)/);
  const said = async (...args: string[]): Promise<string> => {
    const { status, stderr } = await start(['push', ...args]).ended;
    assert.ok(status === 1 || status === 2);
    return stderr;
  };
  assert.match(await said('it', `oci:${repository}-x`, '--creds', 'a:b'), /'--creds' is about registries/);
  assert.match(await said('none', `oci:${repository}-x`), /there is no image "none"/);
  assert.match(await said('it', `oci:${repository}-x`, '--compression-level', '3'), /goes with a compression/);
  assert.match(await said('it', 'nothing:x'), /does not look like one of/);
});

/** What goes wrong the first time that each kind of request comes. */
const FAULTS: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => boolean>> = {
  'says 429 with Retry-After': (_, response) => {
    response.setHeader('retry-after', '1');
    no(response, 429, 'TOOMANYREQUESTS');
    return true;
  },
  'says 503 with Retry-After': (_, response) => {
    response.setHeader('retry-after', '0');
    no(response, 503, 'UNAVAILABLE');
    return true;
  },
  'says 502 with a page': (_, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html>bad gateway</html>');
    return true;
  },
  'cuts the connection at once': (request) => {
    request.socket.destroy();
    return true;
  },
  'cuts it in the body': (request) => {
    request.on('data', () => request.socket.destroy());
    return false;
  },
  'does it, and cuts the connection before it says so': (request, response) => {
    response.writeHead = () => {
      request.socket.destroy();
      return response;
    };
    return false;
  },
};

for (const [what, fault] of Object.entries(FAULTS))
  test(`a push completes at a registry that ${what}, once at each step`, async (t) => {
    const seen = new Map<string, number[]>();
    const { layout, image, server, push } = await scene(t, [{ tar: small }, { tar: large }], {
      fault: (request, response) => {
        const [, place = '/v2/'] = /\/(blobs\/uploads|blobs|manifests)\//.exec(request.url ?? '') ?? [];
        const step = `${request.method} ${place}`;
        const times = seen.get(step) ?? [];
        seen.set(step, [...times, Date.now()]);
        return times.length === 0 && fault(request, response);
      },
    });
    ok(await push());
    for (const step of ['GET /v2/', 'HEAD blobs', 'POST blobs/uploads', 'PATCH blobs/uploads', 'PUT blobs/uploads'])
      assert.ok((seen.get(step)?.length ?? 0) > 0, `${step}: ${[...seen.keys()].join()}`);
    const [first = 0, second = 0] = seen.get('PUT manifests') ?? [];
    const { manifests, blobs } = server;
    assert.deepEqual(manifests.get('latest')?.bytes, readFileSync(layout.fileOf(image.digest)));
    for (const tar of [small, large]) assert.ok(blobs.get(sha256(tar))?.equals(tar));
    if (what.includes('429')) assert.ok(second - first >= 990, `${second - first} ms`);
  });

test('a registry that always has too many requests is given up, and nothing is said to be there', async (t) => {
  const { server, push } = await scene(t, [{ tar: small }], {
    fault: ({ method }, response) => {
      if (method !== 'POST') return false;
      response.setHeader('retry-after', '0');
      no(response, 429, 'TOOMANYREQUESTS', 'slowly');
      return true;
    },
  });
  const { status, stderr } = await push();
  assert.equal(status, 1);
  assert.match(stderr, /127\.0\.0\.1:\d+\/a\/b@sha256:\w+: .*TOOMANYREQUESTS: slowly \(status 429\)/);
  assert.equal(server.requests.filter(({ method }) => method === 'POST').length, 6);
  assert.equal(server.manifests.size, 0);
});
