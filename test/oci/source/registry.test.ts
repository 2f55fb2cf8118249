import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compress } from 'zstd-napi';
import type { Policy } from '../../../src/registry/policy/policy.js';
import { openSource } from '../../../src/oci/source/open.js';
import { openRegistryImage, type RegistryImageOptions } from '../../../src/oci/source/registry.js';
import type { ImageSource, LayerSource } from '../../../src/oci/source/source.js';
import { KeptParts } from '../../../src/repository/kept-parts.js';
import { layerContentId } from '../../../src/repository/names.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import type { Repository } from '../../../src/repository/repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import { no, type ScriptedRegistry } from '../../support/servers/scripted-registry.js';
import { serving } from '../../support/images/serving-layout.js';
import {
  Layout,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  type Described,
  type LayerOfImage,
} from '../../support/images/source-layout.js';

const TAR = tarOf({ random: randomBytes(900_000), text: 'some text '.repeat(100_000), small: 'x' });
const half = TAR.length >> 1;
const SKIPPABLE = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const GZIP = gzipSync(TAR);

function open(
  server: ScriptedRegistry,
  options: Partial<RegistryImageOptions> = {},
): ReturnType<typeof openRegistryImage> {
  const surroundings = { env: {}, uid: 0, home: '/nowhere', systemRoot: '/nowhere' };
  return openRegistryImage(`//${server.host}/a/b`, {
    surroundings,
    agent: 'test',
    tlsVerify: false,
    policy: 'any',
    retryMs: 1,
    idleMs: 1000,
    ...options,
  });
}

async function pull(
  repository: Repository,
  server: ScriptedRegistry,
  options: Partial<RegistryImageOptions> = {},
): Promise<PullResult> {
  await using source = await open(server, options);
  return await pullImage(repository, source, { name: 'tag' });
}

async function pullLayout(t: TestContext, layout: Layout, image: Described): Promise<PullResult> {
  layout.publish({ it: image });
  const { repository } = await newRepository(t);
  await using source = await openSource(`oci:${layout.path}:it`);
  return await pullImage(repository, source, { name: 'tag' });
}

const LAYERS: LayerOfImage[] = [
  { tar: TAR },
  { tar: tarOf({ a: '1' }), blob: gzipSync(tarOf({ a: '1' })) },
  { tar: TAR, blob: Buffer.concat([gzipSync(TAR.subarray(0, half)), gzipSync(TAR.subarray(half))]) },
  { tar: tarOf({ b: '2' }), blob: Buffer.concat([SKIPPABLE, compress(tarOf({ b: '2' })), SKIPPABLE]) },
];

function keptParts(repository: Repository): KeptParts {
  const parts = KeptParts.open(repository.root, undefined, () => undefined);
  assert.ok(parts);
  return parts;
}

function facts({ manifestDigest, layers, images }: PullResult): unknown {
  return { manifestDigest, streams: layers.map(({ diffId, stream }) => [diffId, stream]), images: [...images] };
}

test('an image of a registry becomes what it becomes from a layout', async (t) => {
  const layout = newLayout(t);
  const image = layout.image(LAYERS);
  const server = await serving(t, layout, image);
  const { repository } = await newRepository(t);
  assert.ok(repository.objects);
  const result = await withoutLeak(() => pull(repository, server));
  assert.deepEqual(facts(result), facts(await pullLayout(t, layout, image)));
});

test('cut every 200 kB, it becomes the same', async (t) => {
  const layout = newLayout(t);
  const image = layout.image(LAYERS);
  const server = await serving(t, layout, image, { ranges: { cutEvery: 200_000 } });
  const { repository } = await newRepository(t);
  const resumed: string[] = [];
  const result = await pull(repository, server, { onResume: (digest) => resumed.push(digest) });
  assert.deepEqual(facts(result), facts(await pullLayout(t, layout, image)));
  assert.ok(resumed.length > 3);
});

test('a layer that is there is not fetched again', async (t) => {
  const layout = newLayout(t);
  const server = await serving(t, layout, layout.image(LAYERS));
  const { repository } = await newRepository(t);
  await pull(repository, server);
  const before = server.lines().filter((line) => line.includes('/blobs/')).length;
  await pull(repository, server);
  const again = server
    .lines()
    .filter((line) => line.includes('/blobs/'))
    .slice(before);
  assert.equal(again.length, 1, `the config alone: ${again.join()}`);
});

test('a whole blob is kept until its layer has a name', async (t) => {
  const tar = tarOf({ large: randomBytes(9 << 20) });
  const layout = newLayout(t);
  const server = await serving(t, layout, layout.image([{ tar }]));
  const { repository, path } = await newRepository(t);
  const kept = (): string[] => (existsSync(join(path, '.partial')) ? readdirSync(join(path, '.partial')) : []);
  const opened = async (parts: KeptParts): Promise<{ image: ImageSource; layer: LayerSource }> => {
    const image = await open(server, { parts });
    return { image, layer: image.layers[0] as LayerSource };
  };
  const read = async (layer: LayerSource): Promise<void> => {
    await using stream = await layer.open();
    for await (const _ of stream);
  };
  // A pull that is killed before the name is there leaves a file as this one does.
  const killed = keptParts(repository);
  await using first = (await opened(killed)).image;
  await read(first.layers[0] as LayerSource);
  assert.deepEqual(
    kept().map((name) => statSync(join(path, '.partial', name)).size),
    [tar.length],
  );

  server.sent = 0;
  using parts = keptParts(repository);
  const { image, layer } = await opened(parts);
  await using _image = image;
  await read(layer);
  assert.ok(server.sent < 10_000, `${server.sent} bytes were fetched again`);
  assert.equal(kept().length, 1);
  layer.landed?.();
  assert.deepEqual(kept(), []);
  killed.close();
});

test('of an index the image for this machine is taken, and attestations are none', async (t) => {
  const layout = newLayout(t);
  const image = layout.image(LAYERS.slice(0, 1));
  const other = layout.image([{ tar: tarOf({ other: 'x' }) }], { architecture: 'other' });
  const attestation = { ...layout.artifact(['attested']), platform: { os: 'unknown', architecture: 'unknown' } };
  const server = await serving(
    t,
    layout,
    layout.index([attestation, { ...other, platform: { os: 'linux', architecture: 'other' } }, image]),
  );
  await using source = await open(server);
  assert.equal(source.manifest.toString(), readFileSync(layout.fileOf(image.digest), 'utf8'));
  await assert.rejects(open(server, { platform: { os: 'plan9', architecture: 'mips' } }), { code: 'PLATFORM' });
});

test('an artifact of a registry', async (t) => {
  const layout = newLayout(t);
  const artifact = layout.artifact(['one', Buffer.alloc(2 << 20, 'two')]);
  const server = await serving(t, layout, artifact);
  const { repository } = await newRepository(t);
  assert.deepEqual(facts(await pull(repository, server)), facts(await pullLayout(t, layout, artifact)));
});

interface Hostile {
  name: string;
  change: (server: ScriptedRegistry, digest: string) => void;
  code: string;
}
const HOSTILE: Hostile[] = [
  {
    name: 'other bytes of the same length',
    change: (server, digest) => void server.blobs.set(digest, Buffer.alloc(GZIP.length, 'x')),
    code: 'TAR_',
  },
  {
    name: 'one bit that is wrong',
    change: (server, digest) => void server.blobs.set(digest, flipped(GZIP)),
    code: 'COMPRESSION|DIGEST_MISMATCH|TAR_',
  },
  {
    name: 'fewer bytes',
    change: (server, digest) => void server.blobs.set(digest, GZIP.subarray(0, -1)),
    code: 'HTTP_SIZE',
  },
  {
    name: 'more bytes',
    change: (server, digest) => void server.blobs.set(digest, Buffer.concat([GZIP, Buffer.alloc(1)])),
    code: 'HTTP_SIZE',
  },
  { name: 'nothing', change: (server, digest) => void server.blobs.delete(digest), code: 'NOT_FOUND' },
];
for (const { name, change, code } of HOSTILE) {
  test(`a layer of which the registry gives ${name} is not stored`, async (t) => {
    const layout = newLayout(t);
    const image = layout.image([{ tar: TAR, blob: GZIP }]);
    const server = await serving(t, layout, image);
    const digest =
      (JSON.parse(readFileSync(layout.fileOf(image.digest), 'utf8')) as { layers: Described[] }).layers[0]?.digest ??
      '';
    change(server, digest);
    const { repository } = await newRepository(t);
    assert.ok(repository.objects);
    await withoutLeak(async () => {
      await assert.rejects(pull(repository, server), (error: Error & { code?: string }) => {
        assert.match(error.code ?? '', new RegExp(code), error.message);
        assert.ok(
          [digest, sha256(TAR)].some((name) => error.message.includes(name)),
          error.message,
        );
        return true;
      });
    });
    assert.equal(repository.streamObject(layerContentId(sha256(TAR))), undefined);
  });
}

test('an image that the policy refuses is refused before anything of it is read', async (t) => {
  const layout = newLayout(t);
  const server = await serving(t, layout, layout.image(LAYERS));
  const policy: Policy = { path: 'policy.json', default: [{ type: 'reject' }], transports: {} };
  await assert.rejects(open(server, { policy }), {
    code: 'POLICY',
    message: new RegExp(`${server.host}/a/b:latest is refused: policy\\.json demands "reject"`),
  });
  assert.ok(!server.lines().some((line) => line.includes('/blobs/')));
});

test('waiting for a layer ends when the caller says so', async (t) => {
  const layout = newLayout(t);
  const silent = layout.image([{ tar: TAR, blob: GZIP }]);
  const stop = new AbortController();
  const server = await serving(t, layout, silent, {
    fault: (request, response) => {
      if (server.blobs.get(request.url?.split('/').at(-1) ?? '')?.equals(GZIP) !== true) return false;
      response.writeHead(200, { 'content-length': GZIP.length }).write(GZIP.subarray(0, 1000));
      setTimeout(() => stop.abort(new Error('enough')), 100);
      return true;
    },
  });
  const { repository } = await newRepository(t);
  await using source = await open(server, { idleMs: 60_000 });
  await assert.rejects(pullImage(repository, source, { name: 'tag', signal: stop.signal }), /enough/);
});

test('what the registry says no to names host, repository, reference and status', async (t) => {
  const layout = newLayout(t);
  const server = await serving(t, layout, layout.image(LAYERS), {
    fault: (request, response) =>
      request.url?.includes('/manifests/') === true && (no(response, 404, 'MANIFEST_UNKNOWN'), true),
  });
  await assert.rejects(open(server), {
    code: 'NOT_FOUND',
    host: server.host,
    repository: 'a/b',
    reference: 'latest',
    status: 404,
    serverCodes: ['MANIFEST_UNKNOWN'],
  });
});

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}
