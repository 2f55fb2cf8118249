// Deltas that a pull from a registry finds by itself.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createDelta } from '../../../src/oci/delta/create.js';
import type { CreateDeltaOptions } from '../../../src/oci/delta/types.js';
import { findDelta } from '../../../src/oci/delta/find.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { pushImage } from '../../../src/oci/push/push.js';
import { openSource } from '../../../src/oci/source/open.js';
import { openRegistryImage } from '../../../src/oci/source/registry.js';
import type { ImageSource } from '../../../src/oci/source/source.js';
import { fallbackTag } from '../../../src/registry/referrers.js';
import type { Repository } from '../../../src/repository/repository.js';
import { publishPair } from '../../support/images/delta-pair.js';
import { newLayout, newRepository } from '../../support/images/source-layout.js';
import {
  scriptedRegistry,
  sha256,
  type ScriptedRegistry,
  type ScriptedRegistryOptions,
} from '../../support/servers/scripted-registry.js';

interface Scene {
  registry: ScriptedRegistry;
  /** has both images */
  repository: Repository;
  /** has the old one */
  client: Repository;
  /** digest of the delta's manifest */
  delta: string;
  /** another delta in the same place */
  create(from: string, options: CreateDeltaOptions): Promise<string>;
  open(): Promise<ImageSource>;
}

/** A registry with the new image and a delta that refers to it. */
async function scene(t: TestContext, options: ScriptedRegistryOptions = {}): Promise<Scene> {
  const registry = await scriptedRegistry(t, options);
  const name = `${new URL(registry.origin).host}/a/b`;
  const access = { tlsVerify: false, credentials: 'nobody', policy: 'any' } as const;
  const layout = newLayout(t);
  publishPair(layout);
  const { repository } = await newRepository(t);
  const { repository: client } = await newRepository(t);
  for (const [where, tag] of [
    [repository, 'old'],
    [repository, 'new'],
    [client, 'old'],
  ] as const) {
    await using source = await openSource(`oci:${layout.path}:${tag}`);
    // Else the push would compress the layers anew, and the image there would be another one.
    await pullImage(where, source, { name: tag, keepBlobs: true });
  }
  await pushImage(repository, 'new', `docker://${name}:new`, { registry: access });
  const create = async (from: string, more: CreateDeltaOptions): Promise<string> =>
    (await createDelta(repository, from, 'new', `docker://${name}`, { registry: access, ...more })).manifestDigest;
  const delta = await create('old', {});
  return { registry, repository, client, delta, create, open: () => openRegistryImage(`//${name}:new`, access) };
}

test('the delta of an image that is there is found, by the tag that stands for a list of referrers', async (t) => {
  const { client, delta, open } = await scene(t);
  await using source = await open();
  await using found = await findDelta(client, source);
  assert.equal(found?.digest, delta);
  assert.ok(found.size < found.fullSize / 2, `${found.size} of ${found.fullSize}`);
});

test('of those that a registry lists, the smallest of an image that is there is taken', async (t) => {
  const { registry, client, delta, create, open } = await scene(t, { referrers: true });
  const other = await create('old', { format: 1 });
  const sizeOf = (digest: string): number =>
    (JSON.parse(registry.manifests.get(digest)!.bytes.toString()) as { layers: { size: number }[] }).layers.reduce(
      (sum, { size }) => sum + size,
      0,
    );
  assert.notEqual(sizeOf(other), sizeOf(delta));
  const smaller = sizeOf(other) < sizeOf(delta) ? other : delta;
  // The smallest of all changes an image that is not there.
  const { bytes } = registry.manifests.get(delta)!;
  const artifact = JSON.parse(bytes.toString()) as { layers: { size: number }[]; annotations: Record<string, string> };
  for (const layer of artifact.layers) layer.size = 1;
  artifact.annotations['io.github.containers.delta.source-config'] = `sha256:${'0'.repeat(64)}`;
  registry.addManifest(artifact);
  assert.deepEqual(
    [...registry.manifests.keys()].filter((key) => key.startsWith('sha256-')),
    [],
  );
  await using source = await open();
  await using found = await findDelta(client, source);
  assert.equal(found?.digest, smaller);
  assert.ok(registry.lines().some((line) => line.startsWith('GET /v2/a/b/referrers/sha256:')));
});

test('none is found where the old image is not there, or all of the new one is', async (t) => {
  const { repository, open } = await scene(t);
  await using source = await open();
  const { repository: empty } = await newRepository(t);
  assert.equal(await findDelta(empty, source), undefined);
  assert.equal(await findDelta(repository, source), undefined);
});

test('of several the smallest is taken, whatever the list says of them', async (t) => {
  const { registry, client, delta, open } = await scene(t);
  const { bytes } = registry.manifests.get(delta)!;
  interface Artifact {
    layers: { size: number; annotations: Record<string, string> }[];
  }
  const larger = JSON.parse(bytes.toString()) as Artifact;
  (larger.layers[2] as { size: number }).size += 1;
  const other = registry.addManifest(larger);
  await using source = await open();
  const [subject = ''] = [...registry.manifests.keys()].filter((key) => key.startsWith('sha256-'));
  const list = registry.manifests.get(subject)!;
  const index = JSON.parse(list.bytes.toString()) as {
    manifests: { digest: string; annotations?: object | undefined }[];
  };
  const [first] = index.manifests;
  index.manifests = [
    { ...first!, digest: other },
    { ...first!, annotations: undefined },
  ];
  registry.manifests.set(subject, { ...list, bytes: Buffer.from(JSON.stringify(index)) });
  await using found = await findDelta(client, source);
  assert.equal(found?.digest, delta);
});

test('a delta that makes another image than it refers to is an error', async (t) => {
  const { registry, client, delta, open } = await scene(t);
  const image = JSON.parse(registry.manifests.get('new')!.bytes.toString()) as object;
  const another = registry.addManifest({ ...image, annotations: { changed: 'yes' } }, 'new');
  const list = [...registry.manifests].find(([key]) => key.startsWith('sha256-'))![1];
  registry.manifests.set(fallbackTag(another), list);
  assert.ok(list.bytes.includes(delta));
  await using source = await open();
  await assert.rejects(findDelta(client, source), { code: 'DELTA_TARGET' });
});

test('it is said when the registry does not have the image that a delta makes', async (t) => {
  const { registry, create } = await scene(t);
  const digest = sha256(registry.manifests.get('new')!.bytes);
  const missing: string[] = [];
  const onEvent: CreateDeltaOptions['onEvent'] = (event) => {
    if (event.kind === 'no-target') missing.push(event.digest);
  };
  await create('old', { onEvent });
  assert.deepEqual(missing, []);
  for (const key of ['new', ...registry.manifests.keys()]) registry.manifests.delete(key);
  await create('old', { onEvent });
  assert.deepEqual(missing, [digest]);
});
