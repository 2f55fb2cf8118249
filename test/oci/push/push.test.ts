// Pushes to folders and archives, and what their manifests become.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { pushImage } from '../../../src/oci/push/push.js';
import type { PushEvent, PushOptions, PushResult } from '../../../src/oci/push/types.js';
import { openSource } from '../../../src/oci/source/open.js';
import type { Repository } from '../../../src/repository/repository.js';
import {
  newFolder,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  TYPES,
  type LayerOfImage,
} from '../../support/images/source-layout.js';

const DOCKER = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;
const GZIP = `${TYPES.layer}+gzip`;
const ZSTD = `${TYPES.layer}+zstd`;
const tar = tarOf({ text: 'content '.repeat(50_000), noise: randomBytes(100_000) });
const small = tarOf({ small: 'x' });
const gzipped = (of: Buffer, more: object = {}): LayerOfImage => ({
  tar: of,
  blob: gzipSync(of, { level: 9 }),
  descriptor: { mediaType: GZIP, ...more },
});

interface Scene {
  repository: Repository;
  folder: string;
  stored: string;
  events: PushEvent[];
  push(destination: string, options?: PushOptions): Promise<PushResult>;
}

/** An image in a repository. */
async function scene(
  t: TestContext,
  layers: readonly LayerOfImage[],
  manifest: object = {},
  config: { mediaType?: string } = {},
): Promise<Scene> {
  const layout = newLayout(t);
  const plain = layout.image(layers, {}, manifest);
  const json = JSON.parse(readFileSync(layout.fileOf(plain.digest), 'utf8')) as {
    config: object;
    mediaType: string;
    layers: { mediaType: string }[];
  };
  const image = layout.putJson({ ...json, config: { ...json.config, ...config } }, json.mediaType);
  layout.publish({ it: image });
  const { repository } = await newRepository(t);
  await using source = await openSource(`oci:${layout.path}:it`);
  await pullImage(repository, source, { name: 'it' });
  const events: PushEvent[] = [];
  const push = (destination: string, options: PushOptions = {}): Promise<PushResult> =>
    pushImage(repository, 'it', destination, { onEvent: (event) => events.push(event), ...options });
  return { repository, folder: newFolder(t), stored: image.digest, events, push };
}

interface Pulled {
  manifest: string;
  config: string;
  layers: string[];
}

async function pulled(t: TestContext, reference: string): Promise<Pulled> {
  const { repository } = await newRepository(t);
  await using source = await openSource(reference);
  const result = await pullImage(repository, source, {});
  return {
    manifest: result.manifestDigest,
    config: result.configDigest,
    layers: result.layers.map(({ diffId }) => diffId),
  };
}

interface Entry {
  digest: string;
  mediaType: string;
  annotations?: Record<string, string>;
}

/** A manifest or an index. */
interface Document {
  mediaType: string;
  config: Entry;
  layers: Entry[];
  manifests: Entry[];
  annotations?: Record<string, string>;
}

function json(...path: string[]): Document {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as Document;
}

const blobFile = (layout: string, digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));

for (const [transport, suffix] of [
  ['oci', ':it'],
  ['oci-archive', ':it'],
  ['dir', ''],
] as const) {
  test(`${transport}: plain layers are the same image again`, async (t) => {
    const { push, folder, stored } = await scene(t, [{ tar }, { tar: small }, { tar }]);
    const result = await push(`${transport}:${join(folder, 'out')}${suffix}`);
    assert.equal(result.manifestDigest, stored);
    assert.equal(result.blobs.length, 3);
    assert.equal((await pulled(t, `${transport}:${join(folder, 'out')}${suffix}`)).manifest, stored);
    assert.deepEqual(readdirSync(folder), ['out']);
  });

  test(`${transport}: layers that only their tars are left of are compressed anew, as they were`, async (t) => {
    const { push, folder, stored, events } = await scene(t, [gzipped(tar, { annotations: { note: 'stays' } })]);
    const at = `${transport}:${join(folder, 'out')}${suffix}`;
    const result = await push(at);
    assert.notEqual(result.manifestDigest, stored);
    assert.equal(result.storedDigest, stored);
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'compressed-anew').map((event) => ({ ...event })),
      [{ kind: 'compressed-anew', diffId: sha256(tar), was: sha256(gzipSync(tar, { level: 9 })), why: 'not-kept' }],
    );
    const found = await pulled(t, at);
    assert.deepEqual(found, { manifest: result.manifestDigest, config: result.configDigest, layers: [sha256(tar)] });
  });
}

test('docker-archive: one image, with plain tars', async (t) => {
  const { push, folder } = await scene(t, [gzipped(tar), { tar: small }, gzipped(tar)]);
  const at = `docker-archive:${join(folder, 'out.tar')}:web`;
  const { configDigest } = await push(at);
  const found = await pulled(t, `${at}:latest`);
  assert.deepEqual(found.layers, [sha256(tar), sha256(small)]);
  assert.equal(found.config, configDigest);
  await assert.rejects(push(at), { code: 'DESTINATION_EXISTS' });
  await assert.rejects(push(`docker-archive:${join(folder, 'b')}`, { compression: 'gzip' }), {
    code: 'COMPRESSION_PLAIN',
  });
  await assert.rejects(push(`docker-archive:${join(folder, 'b')}`, { referrers: true }), { code: 'NO_REFERRERS' });
  assert.deepEqual(readdirSync(folder), ['out.tar']);
});

test('the compression that is asked for, and its media type', async (t) => {
  const { push, folder } = await scene(t, [gzipped(tar), { tar: small }]);
  for (const [compression, type, level] of [
    ['gzip', GZIP, 1],
    ['zstd', ZSTD, undefined],
    ['none', TYPES.layer, undefined],
  ] as const) {
    const at = join(folder, compression);
    const { manifestDigest } = await push(`oci:${at}:it`, { compression, compressionLevel: level });
    const manifest = json(blobFile(at, manifestDigest));
    assert.deepEqual(
      manifest.layers.map(({ mediaType }) => mediaType),
      [type, type],
    );
    const digest = (manifest.layers[0] as Entry).digest;
    const blob = readFileSync(blobFile(at, digest));
    if (compression === 'gzip') assert.ok(gunzipSync(blob).equals(tar));
    if (compression === 'none') assert.ok(blob.equals(tar));
    assert.deepEqual((await pulled(t, `oci:${at}:it`)).layers, [sha256(tar), sha256(small)]);
  }
  await assert.rejects(push(`oci:${folder}/x`, { compressionLevel: 3 }), { code: 'COMPRESSION_LEVEL' });
  await assert.rejects(push(`oci:${folder}/x`, { compression: 'gzip', compressionLevel: 12 }), {
    code: 'COMPRESSION_LEVEL',
  });
  assert.ok(!existsSync(join(folder, 'x')));
});

test("docker's manifest stays one in a dir:, is OCI's in a layout, and with zstd", async (t) => {
  const docker = { mediaType: DOCKER.manifest };
  const layer = gzipped(tar, { mediaType: DOCKER.layer });
  const { push, folder } = await scene(t, [layer], docker, { mediaType: DOCKER.config });
  const kinds = async (at: string, options: PushOptions = {}): Promise<[string, string, string]> => {
    const { mediaType, manifestDigest } = await push(at, options);
    const path = at.slice(at.indexOf(':') + 1);
    const manifest = json(at.startsWith('dir:') ? join(path, 'manifest.json') : blobFile(path, manifestDigest));
    assert.equal(manifest.mediaType, mediaType);
    await pulled(t, at);
    return [mediaType, manifest.config.mediaType, (manifest.layers[0] as Entry).mediaType];
  };
  assert.deepEqual(await kinds(`dir:${folder}/a`), [DOCKER.manifest, DOCKER.config, DOCKER.layer]);
  assert.deepEqual(await kinds(`dir:${folder}/b`, { compression: 'none' }), [
    DOCKER.manifest,
    DOCKER.config,
    DOCKER.layer.replace('.gzip', ''),
  ]);
  assert.deepEqual(await kinds(`dir:${folder}/c`, { compression: 'zstd' }), [TYPES.manifest, TYPES.config, ZSTD]);
  assert.deepEqual(await kinds(`oci:${folder}/d`), [TYPES.manifest, TYPES.config, GZIP]);
});

test('notes about a blob do not outlive it', async (t) => {
  const chunked = 'io.github.containers.zstd-chunked.manifest-checksum';
  const layer = gzipped(tar, { annotations: { [chunked]: 'sha256:…', note: 'stays' }, urls: ['https://example.com/'] });
  const { push, folder } = await scene(t, [layer]);
  const { manifestDigest } = await push(`oci:${folder}/out`);
  const [descriptor] = json(blobFile(join(folder, 'out'), manifestDigest)).layers;
  assert.deepEqual(Object.keys(descriptor ?? {}).sort(), ['annotations', 'digest', 'mediaType', 'size']);
  assert.deepEqual(descriptor?.annotations, { note: 'stays' });
});

test('a layout that has images gets another one, and a name goes to the newer', async (t) => {
  const one = await scene(t, [{ tar }]);
  const two = await scene(t, [{ tar: small }]);
  const at = join(one.folder, 'layout');
  await one.push(`oci:${at}:a`);
  const index = json(at, 'index.json');
  writeFileSync(join(at, 'index.json'), JSON.stringify({ ...index, annotations: { mine: 'stays' } }));
  await two.push(`oci:${at}:b`);
  await two.push(`oci:${at}:a`);
  await two.push(`oci:${at}:a`);
  const { manifests, annotations } = json(at, 'index.json');
  assert.deepEqual(annotations, { mine: 'stays' });
  assert.deepEqual(
    manifests.map((entry) => [entry.digest, Object.values(entry.annotations ?? {})[0]]),
    [
      [one.stored, undefined],
      [two.stored, 'b'],
      [two.stored, 'a'],
    ],
  );
  const again = await one.push(`oci:${at}:c`);
  assert.ok(again.blobs.every(({ outcome }) => outcome === 'present'));
});

test('a blob that a layout has in another length is written anew', async (t) => {
  const { push, folder, stored } = await scene(t, [{ tar }]);
  const at = join(folder, 'layout');
  mkdirSync(join(at, 'blobs/sha256'), { recursive: true });
  writeFileSync(blobFile(at, sha256(tar)), 'cut');
  await push(`oci:${at}`);
  assert.equal((await pulled(t, `oci:${at}`)).manifest, stored);
});

test('a dir: is replaced, but nothing else is', async (t) => {
  const { push, folder, stored } = await scene(t, [{ tar }]);
  mkdirSync(join(folder, 'empty'));
  await push(`dir:${folder}/empty`);
  writeFileSync(join(folder, 'empty/old'), '');
  await push(`dir:${folder}/empty`);
  assert.ok(!existsSync(join(folder, 'empty/old')));
  assert.equal(readFileSync(join(folder, 'empty/version'), 'latin1'), 'Directory Transport Version: 1.1\n');
  assert.equal((await pulled(t, `dir:${folder}/empty`)).manifest, stored);
  mkdirSync(join(folder, 'other'));
  writeFileSync(join(folder, 'other/file'), 'precious');
  writeFileSync(join(folder, 'plain'), 'precious');
  for (const name of ['other', 'plain'])
    await assert.rejects(push(`dir:${folder}/${name}`), { code: 'DESTINATION_EXISTS' });
  assert.deepEqual(readdirSync(folder).sort(), ['empty', 'other', 'plain']);
});

test('an artifact', async (t) => {
  const layout = newLayout(t);
  const artifact = layout.artifact(['one', 'two', 'one']);
  layout.publish({ it: artifact });
  const { repository } = await newRepository(t);
  await using source = await openSource(`oci:${layout.path}:it`);
  await pullImage(repository, source, { name: 'it' });
  const folder = newFolder(t);
  for (const at of [`oci:${folder}/a:it`, `dir:${folder}/b`]) {
    const { manifestDigest, blobs } = await pushImage(repository, 'it', at);
    assert.deepEqual([manifestDigest, blobs.length], [artifact.digest, 3]);
    assert.equal((await pulled(t, at)).manifest, artifact.digest);
  }
  await assert.rejects(pushImage(repository, 'it', `docker-archive:${folder}/c`), { code: 'NOT_AN_IMAGE' });
});

test('referrers go along when the manifest does not change', async (t) => {
  const layout = newLayout(t);
  const image = layout.image([{ tar }]);
  const { digest, size, mediaType } = image;
  const signature = layout.artifact(['signed'], { subject: { digest, size, mediaType } });
  layout.publish({ it: image, signature });
  const { repository } = await newRepository(t);
  for (const name of ['it', 'signature']) {
    await using source = await openSource(`oci:${layout.path}:${name}`);
    await pullImage(repository, source, { name });
  }
  const at = join(newFolder(t), 'layout');
  const result = await pushImage(repository, 'it', `oci:${at}:it`, { referrers: true });
  assert.deepEqual(result.referrers, [signature.digest]);
  assert.equal((await pulled(t, `oci:${at}:${signature.digest}`)).manifest, signature.digest);
  const events: PushEvent[] = [];
  const changed = await pushImage(repository, 'it', `oci:${at}:zstd`, {
    referrers: true,
    compression: 'zstd',
    onEvent: (event) => events.push(event),
  });
  assert.deepEqual(changed.referrers, []);
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'referrers-left'),
    [{ kind: 'referrers-left', digests: [signature.digest] }],
  );
});

test('names that cannot be pushed to', async (t) => {
  const { push, folder } = await scene(t, [{ tar }]);
  await assert.rejects(push('docker-daemon:x'), { code: 'NOT_FOUND', message: /does not look like one of docker:/ });
  await assert.rejects(push('docker:x'), { code: 'BAD_REFERENCE', message: /lacks two slashes/ });
  await assert.rejects(push('oci:'), { code: 'BAD_REFERENCE' });
  await assert.rejects(push(`dir:${folder}/none/out`), { code: 'NOT_FOUND' });
});

test('a folder behind a symlink in a layout is not written to', async (t) => {
  const { push, folder } = await scene(t, [{ tar }]);
  const at = join(folder, 'layout');
  mkdirSync(join(folder, 'elsewhere/sha256'), { recursive: true });
  mkdirSync(at);
  symlinkSync(join(folder, 'elsewhere'), join(at, 'blobs'));
  await assert.rejects(push(`oci:${at}`), { code: 'ELOOP' });
  assert.deepEqual(readdirSync(join(folder, 'elsewhere/sha256')), []);
});

test('a push that is aborted leaves no image', async (t) => {
  const { push, folder } = await scene(t, [{ tar: tarOf({ large: randomBytes(3 << 20) }) }]);
  for (const transport of ['oci', 'oci-archive', 'dir', 'docker-archive']) {
    const stop = new AbortController();
    const path = join(folder, transport);
    const pushing = push(`${transport}:${path}`, {
      signal: stop.signal,
      onEvent: ({ kind }) => kind === 'progress' && stop.abort(new Error('enough')),
    });
    await assert.rejects(pushing, /enough/);
    assert.ok(!existsSync(join(path, 'index.json')));
  }
  assert.deepEqual(readdirSync(folder), ['oci']);
  assert.deepEqual(readdirSync(join(folder, 'oci/blobs/sha256')), []);
  assert.deepEqual(readdirSync(join(folder, 'oci')), ['blobs']);
});

test('a layer that is damaged is not sent', async (t) => {
  const { push, repository, folder } = await scene(t, [gzipped(tarOf({ large: 'L'.repeat(100_000) }))]);
  const objects = join(repository.path, 'objects');
  for (const name of readdirSync(objects, { recursive: true }) as string[]) {
    const path = join(objects, name);
    if (!/^..\/./.test(name) || readFileSync(path).length !== 100_000) continue;
    writeFileSync(path, 'X'.repeat(100_000));
  }
  await assert.rejects(push(`oci:${folder}/out`), { code: 'DIGEST_MISMATCH', message: /damaged: fsck/ });
  assert.ok(!existsSync(join(folder, 'out/index.json')));
  assert.deepEqual(readdirSync(join(folder, 'out/blobs/sha256')), []);
});
