// Repositories over varlink: what each method does, by a client of the same package.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createDelta } from '../../../src/oci/delta/create.js';
import { BridgeError } from '../../../src/errors.js';
import { verifyLayerStream } from '../../../src/oci/pull/verified.js';
import { Repository } from '../../../src/repository/repository.js';
import type { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import type { VarlinkMethod } from '../../../src/rpc/varlink/interface.js';
import { VarlinkRemoteError } from '../../../src/rpc/varlink/varlink-error.js';
import { messageOf } from '../../../src/service/varlink/internal-error.js';
import { ociMethods, type PullFrame } from '../../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import { publishPair } from '../../support/images/delta-pair.js';
import { newLayout, sha256 } from '../../support/images/source-layout.js';
import { getLayer, openHandle, pullInto, RepositoryServer } from '../../support/servers/repository-server.js';

let server: RepositoryServer;
let client: VarlinkConnection;
/** of a repository with the image as `it` */
let handle: number;
let full: string;
let diffIds: string[];

before(async () => {
  server = await RepositoryServer.start();
  client = await server.client();
  full = server.repository('full');
  handle = await openHandle(client, full);
  await pullInto(client, handle, server.image, 'it');
  diffIds = server.tars.map(sha256);
});

after(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const fails = async (call: Promise<unknown>, error: string, parameters?: object): Promise<void> => {
  await assert.rejects(call, (thrown) => {
    assert.ok(thrown instanceof VarlinkRemoteError, String(thrown));
    assert.equal(thrown.error, error);
    if (parameters) assert.deepEqual(thrown.parameters, parameters);
    else assert.equal(typeof thrown.parameters['message'], 'string');
    return true;
  });
};

test('a repository is made once', async () => {
  const path = join(server.folder, 'deep/er/made');
  const made = { path, algorithm: 'fsverity-sha256-12', insecure: true };
  assert.deepEqual((await client.call(repositoryMethods.InitRepository, made)).parameters, { created: true });
  assert.deepEqual((await client.call(repositoryMethods.InitRepository, made)).parameters, { created: false });
  assert.deepEqual((await client.call(repositoryMethods.EnsureRepository, made)).parameters, { status: 'Opened' });
  await fails(
    client.call(repositoryMethods.InitRepository, { ...made, algorithm: 'fsverity-sha512-12' }),
    'org.composefs.Repository.InternalError',
  );
  await fails(
    client.call(repositoryMethods.InitRepository, { ...made, algorithm: 'md5' }),
    'org.composefs.Repository.InvalidSpec',
  );
  const other = join(server.folder, 'ensured');
  assert.deepEqual(
    (await client.call(repositoryMethods.EnsureRepository, { path: other, insecure: true })).parameters,
    { status: 'Created' },
  );
  const old = join(server.folder, 'old');
  mkdirSync(join(old, 'objects/ab'), { recursive: true });
  writeFileSync(join(old, 'objects/ab', 'c'.repeat(62)), '');
  assert.deepEqual((await client.call(repositoryMethods.EnsureRepository, { ...made, path: old })).parameters, {
    status: 'Upgraded',
  });
});

test('what is opened', async () => {
  const { parameters } = await client.call(repositoryMethods.OpenRepository, { path: full });
  assert.equal(parameters.hash_algorithm, 'sha256');
  assert.ok(parameters.handle > handle);
  await client.call(repositoryMethods.CloseRepository, { handle: parameters.handle });
  await fails(
    client.call(repositoryMethods.Fsck, { handle: parameters.handle }),
    'org.composefs.Repository.InvalidHandle',
    { handle: parameters.handle },
  );
  await fails(client.call(ociMethods.ListImages, { handle: 999 }), 'org.composefs.Oci.InvalidHandle', { handle: 999 });
  await fails(
    client.call(repositoryMethods.OpenRepository, { path: join(server.folder, 'nothing') }),
    'org.composefs.Repository.RepoNotFound',
  );
  for (const choice of [{}, { path: null, user: false }, { path: full, user: true }, { user: true, system: true }]) {
    await fails(client.call(repositoryMethods.OpenRepository, choice), 'org.composefs.Repository.InvalidSpec');
  }
});

test('a handle is good on other connections, also when its own is gone', async () => {
  const first = await server.client();
  const other = await openHandle(first, full);
  first.close();
  using second = await server.client();
  assert.equal((await second.call(ociMethods.ListImages, { handle: other })).parameters.images.length, 1);
  await second.call(repositoryMethods.CloseRepository, { handle: other });
  await fails(client.call(ociMethods.ListImages, { handle: other }), 'org.composefs.Oci.InvalidHandle', {
    handle: other,
  });
});

test('a delta is pulled as an image is', async (t) => {
  const layout = newLayout(t);
  publishPair(layout);
  const path = server.repository('changed');
  const changed = await openHandle(client, path);
  for (const name of ['old', 'new']) await pullInto(client, changed, `oci:${layout.path}:${name}`, name);
  using repository = await Repository.open(path);
  const { target } = await createDelta(repository, 'old', 'new', `oci:${layout.path}-delta`);
  const updated = await openHandle(client, server.repository('updated'));
  const pull = {
    handle: updated,
    image: `oci:${layout.path}-delta`,
    name: 'new',
    local_fetch: 'auto',
    bootable: false,
  };
  await fails(client.call(ociMethods.Pull, pull), 'org.composefs.Oci.InternalError');
  await pullInto(client, updated, `oci:${layout.path}:old`, 'old');
  const frames: PullFrame[] = [];
  for await (const { parameters } of client.callMore(ociMethods.Pull, pull)) frames.push(parameters);
  assert.equal(frames.at(-1)?.completed?.manifest_digest, target);
  const kinds = frames.flatMap((frame) => Object.keys(frame));
  assert.deepEqual(
    [kinds.filter((kind) => kind === 'skipped').length, kinds.filter((kind) => kind === 'done').length],
    [1, 2],
  );
  const imageOf = async (of: number): Promise<unknown> =>
    (await client.call(ociMethods.ListImages, { handle: of })).parameters.images.find(({ name }) => name === 'new');
  assert.deepEqual(await imageOf(updated), await imageOf(changed));
});

test('a pull tells what it does', async () => {
  const empty = await openHandle(client, server.repository('pulled'));
  const frames: PullFrame[] = [];
  const pull = { handle: empty, image: server.image, name: 'it', local_fetch: 'disabled', bootable: false };
  for await (const { parameters } of client.callMore(ociMethods.Pull, pull)) frames.push(parameters);
  assert.ok(frames.every((frame) => Object.keys(frame).length === 1));
  const of = <K extends keyof PullFrame>(kind: K): NonNullable<PullFrame[K]>[] =>
    frames.flatMap((frame) => (frame[kind] == null ? [] : [frame[kind]]));
  assert.deepEqual(
    of('started')
      .map(({ id }) => id)
      .sort(),
    [...diffIds].sort(),
  );
  assert.deepEqual(
    new Map(of('done').map(({ id, transferred }) => [id, transferred])),
    new Map(diffIds.map((id, index) => [id, server.tars[index]!.length])),
  );
  assert.deepEqual(Object.keys(frames.at(-1)!), ['completed']);
  const again: PullFrame[] = [];
  for await (const { parameters } of client.callMore(ociMethods.Pull, pull)) again.push(parameters);
  assert.deepEqual(
    again.flatMap(({ skipped }) => (skipped ? [skipped.id] : [])),
    diffIds,
  );
  assert.equal(again.at(-1)?.completed?.manifest_verity, frames.at(-1)?.completed?.manifest_verity);
  await fails(client.call(ociMethods.Pull, { ...pull, image: 'oci:/nothing:it' }), 'org.composefs.Oci.InternalError');
  await fails(client.call(ociMethods.Pull, { ...pull, expected_digest: 'aa' }), 'org.composefs.Oci.InvalidRequest');
});

test('images, by tag', async () => {
  const { images } = (await client.call(ociMethods.ListImages, { handle })).parameters;
  assert.deepEqual(
    images.map(({ name, layer_count }) => [name, layer_count]),
    [['it', 2]],
  );
  const digest = images[0]!.manifest_digest;
  await client.call(ociMethods.Tag, { handle, manifest_digest: digest, name: 'other/name:1' });
  const filtered = await client.call(ociMethods.ListImages, { handle, filter: 'name' });
  assert.deepEqual(
    filtered.parameters.images.map(({ name }) => name),
    ['other/name:1'],
  );
  await client.call(ociMethods.Untag, { handle, name: 'other/name:1' });
  await fails(client.call(ociMethods.Untag, { handle, name: 'other/name:1' }), 'org.composefs.Oci.InternalError');
  const none = `sha256:${'0'.repeat(64)}`;
  await fails(
    client.call(ociMethods.Tag, { handle, manifest_digest: none, name: 'x' }),
    'org.composefs.Oci.NoSuchImage',
    { image: none },
  );
  await fails(client.call(ociMethods.Inspect, { handle, image: 'other' }), 'org.composefs.Oci.NoSuchImage', {
    image: 'other',
  });
  const { manifest, config, composefs_erofs } = (await client.call(ociMethods.Inspect, { handle, image: `@${digest}` }))
    .parameters;
  assert.equal(sha256(Buffer.from(manifest)), digest);
  assert.deepEqual((JSON.parse(config) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids, diffIds);
  assert.equal(
    (await client.call(ociMethods.ComputeId, { handle, image: 'it', bootable: false })).parameters.image_id,
    composefs_erofs,
  );
  const objects = (await client.call(repositoryMethods.ImageObjects, { handle, name: composefs_erofs! })).parameters
    .object_ids;
  assert.equal(objects.length, 60);
  assert.match(objects[0]!, /^sha256:[0-9a-f]{64}$/);
  await fails(
    client.call(repositoryMethods.ImageObjects, { handle, name: 'it' }),
    'org.composefs.Repository.NoSuchRef',
    { reference: 'it' },
  );
  await fails(
    client.call(repositoryMethods.Mount, { handle, name: 'it', options: {} }),
    'org.composefs.Repository.InternalError',
  );
  await fails(
    client.call(repositoryMethods.Mount, { handle, name: 'it', options: { overlay: true } }),
    'org.composefs.Repository.InvalidSpec',
  );
  await fails(
    client.call(ociMethods.OciMount, { handle, image: 'other', bootable: false, options: {} }),
    'org.composefs.Oci.NoSuchImage',
    { image: 'other' },
  );
  assert.deepEqual((await client.call(repositoryMethods.ListImageRefs, { handle })).parameters, { images: [] });
});

test('checking finds what is checked', async () => {
  const check = (await client.call(ociMethods.Check, { handle })).parameters;
  assert.deepEqual([check.ok, check.images_checked, check.repo.streams_checked], [true, 1, 4]);
  assert.deepEqual((await client.call(repositoryMethods.Fsck, { handle })).parameters, check.repo);
  const quick = (await client.call(repositoryMethods.Fsck, { handle, metadata_only: true })).parameters;
  assert.deepEqual(quick, { ...check.repo, objects_checked: 0 });
  assert.equal((await client.call(ociMethods.Check, { handle, image: 'other' })).parameters.ok, false);
});

test('garbage is collected although the same client has the repository open, twice', async () => {
  const path = server.repository('garbage');
  using collector = await server.client();
  const handles = [await openHandle(collector, path), await openHandle(collector, path)] as const;
  await pullInto(collector, handles[0], server.image, 'it');
  await collector.call(ociMethods.Untag, { handle: handles[1], name: 'it' });
  const dry = (await collector.call(repositoryMethods.Gc, { handle: handles[0], dry_run: true, roots: [] })).parameters;
  const wet = (
    await collector.call(
      repositoryMethods.Gc,
      { handle: handles[0], dry_run: false, roots: [] },
      { silenceLimit: 20_000 },
    )
  ).parameters;
  assert.deepEqual(wet, { ...dry, dry_run: false });
  assert.deepEqual([wet.result.images_pruned, wet.result.streams_pruned], [1, 4]);
  assert.equal((await collector.call(ociMethods.ListImages, { handle: handles[1] })).parameters.images.length, 0);
});

test('a repository that a client has open is not collected by others until it goes', async () => {
  const path = server.repository('held');
  using collector = await server.client();
  const holder = await server.client();
  await openHandle(holder, path);
  const mine = await openHandle(collector, path);
  let collected = false;
  const gc = collector
    .call(repositoryMethods.Gc, { handle: mine, dry_run: false, roots: [] })
    .then(() => (collected = true));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(collected, false);
  holder.close();
  await gc;
});

test('layers from one repository into another, and the image made of them', async () => {
  await withoutLeak(async () => {
    using copier = await server.client();
    const from = await openHandle(copier, full);
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const target = server.repository(`copied-${algorithm}`, algorithm);
      const to = await openHandle(copier, target);
      const layers = [];
      for (const diffId of diffIds) {
        assert.deepEqual((await copier.call(ociMethods.HasLayer, { handle: to, diff_id: diffId })).parameters, {
          present: false,
          layer_verity: null,
        });
        for (const present of [false, true]) {
          const { stream, directory, lifetime } = await getLayer(copier, from, diffId);
          const { parameters } = await copier.call(
            ociMethods.PutLayer,
            { handle: to, diff_id: diffId, zerocopy: false },
            { fds: [stream, directory] },
          );
          for (const fd of [stream, directory, lifetime]) fd.close();
          assert.equal(parameters.already_present, present);
          const { objects_reflinked, objects_hardlinked, objects_copied, objects_already_present } = parameters;
          assert.equal(
            objects_reflinked + objects_hardlinked + objects_copied + objects_already_present,
            present ? 0 : 30,
          );
          if (present) layers.push({ diff_id: diffId, layer_verity: parameters.layer_verity });
        }
        assert.equal(
          (await copier.call(ociMethods.HasLayer, { handle: to, diff_id: diffId })).parameters.present,
          true,
        );
      }
      const { manifest, config } = (await copier.call(ociMethods.Inspect, { handle: from, image: 'it' })).parameters;
      const image = { handle: to, manifest_json: manifest, config_json: config, layers, name: 'copy' };
      const made = (await copier.call(ociMethods.FinalizeImage, image)).parameters;
      const pulled = await pullInto(
        copier,
        await openHandle(copier, server.repository(`pulled-${algorithm}`, algorithm)),
        server.image,
        'it',
      );
      assert.deepEqual([made.manifest_digest, made.config_verity], [pulled.manifest_digest, pulled.config_verity]);
      assert.equal((await copier.call(ociMethods.Check, { handle: to, image: 'copy' })).parameters.ok, true);
      using repository = await Repository.open(target);
      for (const { diff_id, layer_verity } of layers) await verifyLayerStream(repository, diff_id, layer_verity);
      await fails(
        copier.call(ociMethods.FinalizeImage, {
          ...image,
          layers: [{ diff_id: diffIds[0]!, layer_verity: layers[1]!.layer_verity }],
        }),
        'org.composefs.Oci.InvalidRequest',
      );
      await fails(
        copier.call(ociMethods.FinalizeImage, { ...image, config_json: '{}' }),
        'org.composefs.Oci.InternalError',
      );
    }
  });
});

const none = `sha256:${'0'.repeat(64)}`;
const refused: [
  name: string,
  method: VarlinkMethod<object, object>,
  parameters: object,
  error: string,
  values?: object,
][] = [
  [
    'a layer that is not there',
    ociMethods.GetLayer,
    { params: { diff_id: none, consumer_has_cap_dac_override: true } },
    'NoSuchLayer',
    { diff_id: none },
  ],
  ['a layer of no name', ociMethods.GetLayer, { params: { consumer_has_cap_dac_override: true } }, 'InvalidRequest'],
  [
    'a layer of a store',
    ociMethods.GetLayer,
    { params: { storage: { storage_path: '/', layer_id: 'x' }, consumer_has_cap_dac_override: true } },
    'InvalidRequest',
  ],
  ['a digest that is none', ociMethods.HasLayer, { diff_id: 'sha256:../../x' }, 'InvalidDigest'],
  ['a digest of another kind', ociMethods.HasLayer, { diff_id: `sha512:${'0'.repeat(128)}` }, 'InvalidDigest'],
  ['a layer without descriptors', ociMethods.PutLayer, { diff_id: none, zerocopy: false }, 'InvalidRequest'],
  [
    'an image of layers that are not there',
    ociMethods.FinalizeImage,
    { manifest_json: '{}', config_json: '{}', layers: [{ diff_id: none, layer_verity: '0'.repeat(64) }] },
    'NoSuchLayer',
    { diff_id: none },
  ],
  [
    'a verity digest of another algorithm',
    ociMethods.FinalizeImage,
    { manifest_json: '{}', config_json: '{}', layers: [{ diff_id: none, layer_verity: '0'.repeat(128) }] },
    'InvalidDigest',
  ],
  [
    'documents that are none',
    ociMethods.FinalizeImage,
    { manifest_json: 'x', config_json: '{}', layers: [] },
    'InternalError',
  ],
];

for (const [name, method, parameters, error, values] of refused) {
  test(`refused: ${name}`, async () => {
    await fails(client.call(method, { handle, ...parameters }), `org.composefs.Oci.${error}`, values);
  });
}

test('the socket is gone with the server', async () => {
  const other = await RepositoryServer.start();
  using idle = await other.client();
  await openHandle(idle, other.repository('open'));
  await other[Symbol.asyncDispose]();
  assert.equal(existsSync(other.socket), false);
});

test('an error that adds a place does not repeat what it wraps', () => {
  const inner = new BridgeError('CONTENT_SIZE', 'nothing is right', { place: { entry: 'etc/x', offset: 512 } });
  const outer = new BridgeError('CONTENT_SIZE', `importing a layer failed: ${inner.reason}`, {
    cause: inner,
    place: { ...inner.place, layer: 'sha256:1' },
  });
  assert.equal(
    messageOf(outer),
    'importing a layer failed: nothing is right (layer sha256:1, entry "etc/x", offset 512)',
  );
  assert.equal(
    messageOf(new Error('outside', { cause: inner })),
    'outside: nothing is right (entry "etc/x", offset 512)',
  );
});
