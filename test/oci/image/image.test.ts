import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BridgeError, DigestMismatchError, NotFoundError } from '../../../src/errors.js';
import { openPath } from '../../../src/fd/fd.js';
import { detailsJson, inspectImage, listImages, openConfig, openImage } from '../../../src/oci/image/image.js';
import { imageRefName, imageRefs } from '../../../src/oci/image/refs.js';
import { parseConfig, parseManifest } from '../../../src/spec/manifest.js';
import { writeImage, type ImageToWrite } from '../../../src/oci/pull/write-image.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath, type Algorithm, type ObjectId } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { SplitstreamReader } from '../../../src/repository/splitstream/reader.js';
import { writeTag } from '../../../src/repository/tags.js';

const IMAGES = fileURLToPath(new URL('../../../../fixtures/cstor-small/images', import.meta.url));
const V1 = imageRefName({ version: 1, boot: false, keepUserXattrs: false });

function temporary(t: TestContext, algorithm: Algorithm = 'sha512'): string {
  const dir = mkdtempSync(join(tmpdir(), 'image-'));
  t.after(() => rmSync(dir, { recursive: true }));
  initRepository(dir, { insecure: true, algorithm, ensure: true });
  return dir;
}

function goldenPath(image: string, algorithm: Algorithm, stream: string): string {
  return join(IMAGES, image, 'streams', algorithm, `${stream}.splitstream`);
}

function goldenRefs(image: string, algorithm: Algorithm, stream: string): ReadonlyMap<string, ObjectId> {
  using reader = SplitstreamReader.open(openPath(goldenPath(image, algorithm, stream)), algorithm);
  return reader.namedRefs;
}

/** A golden image as it is before (`first`) or after (`v1`) its EROFS image was made. */
function golden(image: string, algorithm: Algorithm, stage: string): ImageToWrite {
  const refs = goldenRefs(image, algorithm, `config-${stage}`);
  const images = imageRefs(refs);
  return {
    manifest: readFileSync(join(IMAGES, image, 'manifest.json')),
    config: readFileSync(join(IMAGES, image, 'config.json')),
    layers: new Map([...refs].filter(([name]) => !images.has(name))),
    images,
  };
}

function objectBytes(path: string, id: ObjectId): Buffer {
  return readFileSync(join(path, 'objects', objectPath(id)));
}

for (const algorithm of ['sha256', 'sha512'] as const) {
  for (const image of ['alpha_v1', 'alpha_v2', 'zeta_twice', 'delta_one']) {
    test(`${image} has the ${algorithm} streams cfsctl wrote`, async (t) => {
      const path = temporary(t, algorithm);
      using repository = await Repository.open(path, { write: true });
      const first = await writeImage(repository, golden(image, algorithm, 'first'));
      assert.deepEqual(
        objectBytes(path, first.configStream),
        readFileSync(goldenPath(image, algorithm, 'config-first')),
      );
      assert.deepEqual(
        objectBytes(path, first.manifestStream),
        readFileSync(goldenPath(image, algorithm, 'manifest-first')),
      );
      const final = await writeImage(repository, golden(image, algorithm, 'v1'));
      assert.deepEqual(objectBytes(path, final.configStream), readFileSync(goldenPath(image, algorithm, 'config-v1')));
      // The order inside cfsctl's final manifest stream is random: the names decide.
      using manifest = repository.openStream(final.manifestStream);
      assert.deepEqual(
        new Map([...manifest.namedRefs].sort()),
        new Map([...goldenRefs(image, algorithm, 'manifest-v1')].sort()),
      );
    });
  }
}

test('inspect prints what cfsctl prints', async (t) => {
  using repository = await Repository.open(temporary(t), { write: true });
  for (const image of ['alpha_v2', 'delta_one', 'beta_docker']) {
    const { manifestDigest } = await writeImage(repository, golden(image, 'sha512', 'v1'));
    const details = detailsJson(inspectImage(repository, await openImage(repository, `@${manifestDigest}`)));
    assert.equal(
      `${JSON.stringify(details, undefined, 2)}\n`,
      readFileSync(join(IMAGES, image, 'inspect.sha512.v1.json'), 'utf8'),
    );
  }
});

test('writing an image again changes nothing, whatever the order of the references', async (t) => {
  const path = temporary(t);
  using repository = await Repository.open(path, { write: true });
  const first = await writeImage(repository, golden('alpha_v2', 'sha512', 'v1'));
  const theirs = await repository.objects.put(readFileSync(goldenPath('alpha_v2', 'sha512', 'manifest-v1')));
  await repository.linkStream(`oci-manifest-${first.manifestDigest}`, theirs);
  const again = await writeImage(repository, golden('alpha_v2', 'sha512', 'first'));
  assert.deepEqual(again, { ...first, manifestStream: theirs });
});

test('a stream that loses its name to another one stays reachable by its object', async (t) => {
  const path = temporary(t);
  using repository = await Repository.open(path, { write: true });
  const first = await writeImage(repository, golden('alpha_v1', 'sha512', 'first'));
  const final = await writeImage(repository, golden('alpha_v1', 'sha512', 'v1'));
  assert.notEqual(final.configStream, first.configStream);
  assert.equal(repository.streamObject(`oci-config-${first.configDigest}`), final.configStream);
  assert.equal(
    readlinkSync(join(path, `streams/replaced-${first.configStream}`)),
    `../objects/${objectPath(first.configStream)}`,
  );
});

test('other kinds of EROFS images stay known while the layers are the same', async (t) => {
  using repository = await Repository.open(temporary(t), { write: true });
  const image = golden('delta_one', 'sha512', 'v1');
  const boot = imageRefName({ version: 1, boot: true, keepUserXattrs: true });
  await writeImage(repository, { ...image, images: new Map([[boot, 'cd'.repeat(64)]]) });
  const both = await writeImage(repository, image);
  const { namedRefs } = await openConfig(repository, both.configDigest);
  assert.deepEqual([...imageRefs(namedRefs).keys()], [V1, 'composefs.image.boot.v1.xattrs=keep-user-xattrs']);

  const layers = new Map([...image.layers.keys()].map((diffId) => [diffId, 'ef'.repeat(64)]));
  const other = await writeImage(repository, { ...image, layers });
  assert.deepEqual([...imageRefs((await openConfig(repository, other.configDigest)).namedRefs).keys()], [V1]);
});

test('the list names what cannot be read', async (t) => {
  const path = temporary(t);
  using repository = await Repository.open(path, { write: true });
  for (const image of ['alpha_v1', 'beta_docker']) {
    const { manifestDigest } = await writeImage(repository, golden(image, 'sha512', 'v1'));
    writeTag(repository, `localhost/${image}`, manifestDigest);
  }
  const { images } = await listImages(repository);
  assert.deepEqual(
    images.map(({ name, isContainer, layerCount, created }) => [name, isContainer, layerCount, created]),
    [
      ['localhost/alpha_v1', true, 1, '2023-11-14T22:13:20Z'],
      ['localhost/beta_docker', true, 2, '2023-12-19T15:33:20Z'],
    ],
  );
  unlinkSync(
    join(path, 'streams', readlinkSync(join(path, 'streams/refs/oci/localhost%2Falpha_v1')).slice('../../'.length)),
  );
  const rest = await listImages(repository);
  assert.deepEqual([rest.images.length, rest.unreadable.map(({ name }) => name)], [1, ['localhost/alpha_v1']]);
  assert.ok(rest.unreadable[0]?.error instanceof NotFoundError);
  await assert.rejects(openImage(repository, 'nothing'), NotFoundError);
  await assert.rejects(openImage(repository, '@sha256:77'), NotFoundError);
});

test('a manifest that was altered in place is noticed', async (t) => {
  const path = temporary(t);
  using repository = await Repository.open(path, { write: true });
  const image = golden('alpha_v1', 'sha512', 'v1');
  const { manifestDigest } = await writeImage(repository, image);
  const id = await repository.objects.put(image.manifest);
  writeFileSync(
    join(path, 'objects', objectPath(id)),
    image.manifest.toString().replace('"schemaVersion":2', '"schemaVersion":2 '),
  );
  await assert.rejects(openImage(repository, `@${manifestDigest}`), DigestMismatchError);
});

test('images that do not fit together are not written', async (t) => {
  using repository = await Repository.open(temporary(t), { write: true });
  const image = golden('alpha_v2', 'sha512', 'first');
  await assert.rejects(
    writeImage(repository, { ...image, config: Buffer.concat([image.config, Buffer.from(' ')]) }),
    DigestMismatchError,
  );
  await assert.rejects(
    writeImage(repository, { ...image, layers: new Map([...image.layers].slice(1)) }),
    (error) => error instanceof BridgeError && error.code === 'LAYER_MISSING',
  );
});

test('hostile JSON is refused', () => {
  const manifest = readFileSync(join(IMAGES, 'alpha_v1/manifest.json'), 'utf8');
  const config = readFileSync(join(IMAGES, 'alpha_v1/config.json'), 'utf8');
  const manifests = [
    '',
    'null',
    '{',
    manifest.replace('"schemaVersion":2', '"schemaVersion":1'),
    manifest.replace('sha256:', 'sha256:..'),
    manifest.replace('sha256:', 'md5:'),
    manifest.replace(/"size":\d+/, '"size":-1'),
    manifest.replace(/"size":\d+/, '"size":1e300'),
  ];
  for (const text of manifests)
    assert.throws(() => parseManifest(Buffer.from(text)), { code: 'MANIFEST_INVALID' }, text);
  for (const text of ['[]', config.replace('sha256:', '../'), config.replace('"layers"', '"other"')])
    assert.throws(() => parseConfig(Buffer.from(text)), { code: 'CONFIG_INVALID' }, text);
  assert.throws(() => parseManifest(Buffer.from([0x22, 0xff, 0x22])), { code: 'MANIFEST_INVALID' });
});
