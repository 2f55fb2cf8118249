import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { copyImage } from '../../../src/oci/push/copy.js';
import { fsckImages } from '../../../src/oci/repair/fsck.js';
import { openImage } from '../../../src/oci/image/image.js';
import { configContentId, layerContentId, manifestContentId } from '../../../src/repository/names.js';
import { putJsonStream } from '../../../src/oci/image/json-stream.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { repairRepository } from '../../../src/oci/repair/repair.js';
import { repairText } from '../../../src/cli/reports/repair.js';
import type { RepairReport } from '../../../src/oci/repair/report.js';
import { openRepairSources } from '../../../src/oci/repair/sources.js';
import { BridgeError } from '../../../src/errors.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { recorded, RecordedRepository } from '../../support/cli/recorded-repository.js';
import { damages } from '../../support/faults/damages.js';
import { unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { header, padded } from '../../support/layers/make-tar.js';
import { filesBelow } from '../../support/walk.js';
import { Layout, tarOf } from '../../support/images/source-layout.js';

const never = new AbortController().signal;

describe('repair', () => {
  let sound: RecordedRepository;
  let store: SmallStore;
  /** The image in a repository of the other algorithm. */
  let sha256: string;
  const sources: Record<string, () => string[]> = {
    'the store': () => [`containers-storage:[overlay@${store.graphroot}]localhost/alpha:v2`],
    'another repository': () => [sound.path],
    'a repository of another algorithm': () => [sha256],
  };

  before(async () => {
    sound = await RecordedRepository.create();
    store = unpackSmallStore();
    sha256 = mkdtempSync(join(tmpdir(), 'repair-'));
    initRepository(sha256, { algorithm: 'sha256', insecure: true });
    using from = await Repository.open(sound.path);
    using to = await Repository.open(sha256, { write: true });
    await copyImage(from, to, 't', { name: 'copied' });
  });
  after(async () => {
    await sound[Symbol.asyncDispose]();
    store.remove();
    rmSync(sha256, { recursive: true });
  });

  function copyOf(t: TestContext): string {
    const path = mkdtempSync(join(tmpdir(), 'repair-'));
    t.after(() => rmSync(path, { recursive: true }));
    cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
    return path;
  }

  for (const [kind, names] of Object.entries(sources)) {
    for (const { name, apply } of damages) {
      test(`${name}: from ${kind} everything comes back as it was`, async (t) => {
        const path = copyOf(t);
        apply(path);
        const report = await repair(path, names());
        assert.ok(report.ok, repairText(report));
        await assertSound(path);
        assert.deepEqual(differences(path, sound.path), []);
      });
    }
  }

  /** What comes back without any source: all that follows from what is left. */
  const lost = new Map([
    ['a flipped bit in a layer', 'its stream is lost'],
    ['a stream that is none', 'its stream is lost'],
    ['an empty stream', 'its stream is lost'],
    ['a missing layer object', 'its stream is lost'],
    ['a missing file', '1 of its objects is missing'],
  ]);
  for (const { name, apply, errors } of damages) {
    const problem = lost.get(name);
    test(`${name}: without a source ${problem === undefined ? 'everything comes back' : 'what is lost is said'}`, async (t) => {
      const path = copyOf(t);
      apply(path);
      const report = await repair(path, []);
      assert.equal(report.ok, problem === undefined, repairText(report));
      if (problem === undefined) {
        await assertSound(path);
        assert.deepEqual(differences(path, sound.path), []);
        return;
      }
      assert.deepEqual(
        report.affected.map(({ image }) => image),
        ['t'],
      );
      assert.match(report.affected[0]?.problems[0] ?? '', new RegExp(`^layer sha256:[0-9a-f]{64}: ${problem}`));
      const damaged = errors.filter((error) => error.startsWith('object-digest-mismatch')).length;
      assert.equal(report.quarantined.length, damaged);
      assert.equal(readdirIfThere(join(path, 'quarantine')).length, damaged);
      // Nothing that is left takes the damaged object for present, and a source completes it later.
      using repository = await Repository.open(path);
      assert.deepEqual((await fsckImages(repository, undefined)).repository.objects.corrupted, 0);
      repository[Symbol.dispose]();
      assert.ok((await repair(path, sources['the store']?.() ?? [])).ok);
      assert.deepEqual(differences(path, sound.path), []);
    });
  }

  test('everything at once comes back, with sources that have a part each', async (t) => {
    const path = copyOf(t);
    for (const file of filesBelow(join(path, 'objects'))) {
      if (readFileSync(file).length % 2 === 0) rmSync(file);
      else writeFileSync(file, 'damaged');
    }
    for (const file of ['streams', 'images'])
      for (const name of readdirSync(join(path, file))) if (name !== 'refs') rmSync(join(path, file, name));
    const report = await repair(path, [
      ...(sources['a repository of another algorithm']?.() ?? []),
      ...(sources['the store']?.() ?? []),
    ]);
    assert.ok(report.ok, repairText(report));
    await assertSound(path);
    // Objects that nothing led to are nobody's loss.
    assert.deepEqual(
      differences(path, sound.path).filter((line) => !line.startsWith('missing: objects/')),
      [],
    );
  });

  test('a layer that another program stored under a wrong name is replaced', async (t) => {
    const path = copyOf(t);
    const [first = '', second = ''] = recorded.diff_ids.map((diffId) => join(path, 'streams', `oci-layer-${diffId}`));
    const wrong = readlinkSync(second);
    const right = readlinkSync(first);
    rmSync(first);
    symlinkSync(wrong, first);
    rmSync(join(path, 'objects', right.split('/').slice(-2).join('/')));
    const without = await repair(path, []);
    assert.match(without.affected[0]?.problems.join() ?? '', /not what its diff_id says/);
    const report = await repair(path, sources['the store']?.() ?? []);
    assert.ok(report.ok, repairText(report));
    assert.equal(readlinkSync(first), right);
    await assertSound(path);
  });

  test('an image that another program made of a damaged layer goes', async (t) => {
    const path = copyOf(t);
    {
      using repository = await Repository.open(path, { write: true });
      const { manifestStream, configStream } = await openImage(repository, 't');
      const [right = ''] = readdirSync(join(path, 'images'));
      const bytes = readFileSync(join(path, 'objects', objectPath(right)));
      const object = filesBelow(join(path, 'objects'))
        .map((file) => Buffer.from(file.slice(-127).replace('/', ''), 'hex'))
        .find((digest) => bytes.includes(digest)) as Buffer;
      bytes[bytes.indexOf(object) + 5]! ^= 1;
      const wrong = await repository.objects.put(bytes);
      const references = (refs: ReadonlyMap<string, string>, from: string, to: string): Map<string, string> =>
        new Map([...refs].map(([name, id]) => [name, id === from ? to : id]));
      const config = await putJsonStream(
        repository,
        CONTENT_TYPES.config,
        configStream.bytes,
        references(configStream.namedRefs, right, wrong),
      );
      const manifest = await putJsonStream(
        repository,
        CONTENT_TYPES.manifest,
        manifestStream.bytes,
        references(manifestStream.namedRefs, configStream.stream, config),
      );
      await repository.linkImage(wrong);
      await repository.linkStreams([
        [configContentId(configStream.digest), config],
        [manifestContentId(recorded.manifest_digest), manifest],
      ]);
      assert.equal((await fsckImages(repository, undefined)).ok, false);
    }
    const report = await repair(path, []);
    assert.ok(report.ok, repairText(report));
    assert.equal(report.removed.filter((name) => name.startsWith('images/')).length, 1);
    assert.deepEqual(readdirSync(join(path, 'images')), readdirSync(join(sound.path, 'images')));
    await assertSound(path);
  });

  test('a stream that comes out with another id is referred to anew', async (t) => {
    const path = copyOf(t);
    const [diffId = ''] = recorded.diff_ids;
    const other = await rewriteLayer(path, diffId);
    rmSync(join(path, 'objects', objectPath(other)));
    assert.equal((await repair(path, [])).ok, false);
    const report = await repair(path, sources['the store']?.() ?? []);
    assert.ok(report.ok, repairText(report));
    await assertSound(path);
    // The config and the manifest were written with their references in another order before.
    assert.deepEqual(
      differences(path, sound.path).filter(
        (line) => !/^more: objects|^other: streams\/oci-(config|manifest)-/.test(line),
      ),
      [],
    );
  });

  for (const version of [0, 1, 2] as const) {
    test(`an image of format ${version} is rebuilt`, async (t) => {
      const path = mkdtempSync(join(tmpdir(), 'repair-'));
      t.after(() => rmSync(path, { recursive: true }));
      initRepository(path, { insecure: true, erofsVersion: version });
      {
        using from = await Repository.open(sound.path);
        using to = await Repository.open(path, { write: true });
        await copyImage(from, to, 't', { name: 't' });
      }
      const [id = ''] = readdirSync(join(path, 'images'));
      const before = contents(path);
      rmSync(join(path, 'objects', objectPath(id)));
      const report = await repair(path, []);
      assert.ok(report.ok, repairText(report));
      assert.deepEqual(report.repaired, [{ id, from: 'a rebuild from the layers' }]);
      assert.deepEqual([...contents(path)], [...before]);
    });
  }

  test('an image for booting is rebuilt beside the plain one', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'repair-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const folders = ['boot/', 'sysroot/'].map((name) => header({ name, type: '5', mode: 0o755 }));
    const layout = new Layout(join(folder, 'layout'));
    layout.publish({
      image: layout.image([
        {
          tar: Buffer.concat([
            ...folders,
            header({ name: 'boot/kernel', size: 5000 }),
            padded(Buffer.alloc(5000, 'k')),
            tarOf({ file: Buffer.alloc(5000, 'x') }),
          ]),
        },
      ]),
    });
    const path = join(folder, 'repository');
    initRepository(path, { insecure: true });
    {
      using repository = await Repository.open(path, { write: true });
      await using source = await openSource(`oci:${layout.path}:image`);
      assert.equal((await pullImage(repository, source, { name: 'image', bootable: true })).bootImages.size, 1);
    }
    const before = contents(path);
    const images = readdirSync(join(path, 'images'));
    assert.equal(images.length, 2);
    for (const id of images) rmSync(join(path, 'objects', objectPath(id)));
    const report = await repair(path, []);
    assert.ok(report.ok, repairText(report));
    assert.deepEqual([...contents(path)], [...before]);
  });

  test('images that share a config come back together, and an artifact from its blobs', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'repair-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const layout = new Layout(join(folder, 'layout'));
    const layers = [{ tar: tarOf({ file: Buffer.alloc(5000, 'x'), large: Buffer.alloc(2_000_000, 'y') }) }];
    const one = layout.image(layers);
    const { annotations: _, ...subject } = one;
    const images = {
      one,
      two: layout.image(layers, {}, { annotations: { second: 'yes' } }),
      signature: layout.artifact(['short', Buffer.alloc(3_000_000, 'z')], { subject }),
    };
    layout.publish(images);
    const path = join(folder, 'repository');
    initRepository(path, { insecure: true });
    const references = Object.keys(images).map((name) => `oci:${layout.path}:${name}`);
    for (const reference of references) {
      using repository = await Repository.open(path, { write: true });
      await using source = await openSource(reference);
      await pullImage(repository, source, { name: reference });
    }
    const before = contents(path);
    rmSync(join(path, 'objects'), { recursive: true });
    mkdirSync(join(path, 'objects'));
    rmSync(join(path, 'streams/refs/oci-referrers'), { recursive: true });
    const report = await repair(path, references);
    assert.ok(report.ok, repairText(report));
    await assertSound(path);
    assert.deepEqual([...contents(path)], [...before]);
  });

  test('a blob’s stream that is damaged where it does not show is stored anew', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'repair-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const layout = new Layout(join(folder, 'layout'));
    layout.publish({ artifact: layout.artifact(['a blob']) });
    const path = join(folder, 'repository');
    const reference = `oci:${layout.path}:artifact`;
    initRepository(path, { insecure: true });
    {
      using repository = await Repository.open(path, { write: true });
      await using source = await openSource(reference);
      await pullImage(repository, source, { name: 'artifact' });
    }
    const stream = realpathSync(
      join(path, 'streams', readdirSync(join(path, 'streams')).find((name) => name.startsWith('oci-layer-')) ?? ''),
    );
    const bytes = readFileSync(stream);
    // The flags of the header, which nobody reads.
    bytes[12]! ^= 1;
    writeFileSync(stream, bytes);
    const report = await repair(path, [reference]);
    assert.ok(report.ok, repairText(report));
    await assertSound(path);
  });

  test('what lies in the place of objects is moved away, and links out of the repository are not followed', async (t) => {
    const path = copyOf(t);
    const outside = mkdtempSync(join(tmpdir(), 'repair-outside-'));
    t.after(() => rmSync(outside, { recursive: true }));
    const [asLink = '', asFolder = ''] = await layerObjects(path);
    const content = readFileSync(asLink);
    renameSync(asLink, join(outside, 'object'));
    symlinkSync(join(outside, 'object'), asLink);
    rmSync(asFolder);
    mkdirSync(asFolder);
    writeFileSync(join(asFolder, 'inside'), 'x');
    symlinkSync('/etc/passwd', join(path, 'streams/oci-layer-sha256:passwd'));
    const report = await repair(path, sources['the store']?.() ?? []);
    assert.ok(report.ok, repairText(report));
    assert.equal(report.quarantined.length, 3);
    assert.deepEqual(differences(path, sound.path), []);
    assert.ok(readFileSync(join(outside, 'object')).equals(content));
    assert.equal(readFileSync(join(path, 'quarantine', asFolder.split('/').slice(-2).join(''), 'inside'), 'utf8'), 'x');
  });

  test('sources that are damaged themselves are reported, and others used', async (t) => {
    const path = copyOf(t);
    const bad = copyOf(t);
    for (const place of [path, bad])
      for (const file of filesBelow(join(place, 'objects')))
        if (readFileSync(file).includes('SplitStream')) writeFileSync(file, 'damaged');
    const only = await repair(path, [bad]);
    assert.equal(only.ok, false);
    const report = await repair(path, [bad, ...(sources['the store']?.() ?? [])]);
    assert.ok(report.ok, repairText(report));
    assert.deepEqual(differences(path, sound.path), []);
  });

  test('a source with another layer than it says gives nothing', async (t) => {
    const path = copyOf(t);
    const wrong = unpackSmallStore();
    t.after(() => wrong.remove());
    for (const file of filesBelow(join(wrong.graphroot, 'overlay')))
      if (file.includes('/diff/')) writeFileSync(file, Buffer.alloc(readFileSync(file).length, 'x'));
    rmSync(realpathSync(join(path, 'streams', `oci-layer-${recorded.diff_ids[0]}`)));
    const before = contents(path);
    const report = await repair(path, [`containers-storage:[overlay@${wrong.graphroot}]localhost/alpha:v2`]);
    assert.equal(report.ok, false);
    assert.match(report.sources[0]?.message ?? '', /diff_id|another|DIGEST|digest/);
    const after = contents(path);
    for (const [name, content] of before) if (after.has(name)) assert.equal(after.get(name), content);
  });

  test('waits for others, refuses itself as a source, and closes what it opened', async (t) => {
    const path = copyOf(t);
    rmSync(filesBelow(join(path, 'objects'))[0] ?? '');
    const descriptors = readdirSync('/proc/self/fd').length;
    const before = contents(path);
    {
      using reader = await Repository.open(path);
      using repository = await Repository.open(path, { write: true });
      await assert.rejects(repairRepository(repository, { signal: AbortSignal.timeout(100) }), { name: 'AbortError' });
      assert.ok(reader.root.number > 0);
    }
    await assert.rejects(
      repair(path, [path]),
      (error) => error instanceof BridgeError && error.code === 'SAME_REPOSITORY',
    );
    await assert.rejects(
      repair(path, [sound.path, '/nowhere']),
      (error) => error instanceof BridgeError && error.code === 'REPAIR_SOURCE',
    );
    assert.deepEqual([...contents(path)], [...before]);
    assert.ok((await repair(path, [sound.path])).ok);
    assert.equal(readdirSync('/proc/self/fd').length, descriptors);
  });
});

async function repair(path: string, from: readonly string[]): Promise<RepairReport> {
  using repository = await Repository.open(path, { write: true });
  await using sources = await openRepairSources(from, { signal: never });
  return await repairRepository(repository, { sources: sources.all });
}

/**
 * Gives a layer a stream with other bytes and the same meaning, as another program may write it.
 * @returns its object
 */
async function rewriteLayer(path: string, diffId: string): Promise<string> {
  using repository = await Repository.open(path, { write: true });
  const { configStream, manifest, manifestStream, digest } = await openImage(repository, 't');
  const old = realpathSync(join(path, 'streams', `oci-layer-${diffId}`));
  const other = await repository.objects.put(Buffer.concat([readFileSync(old), Buffer.alloc(8)]));
  const replaced = (refs: ReadonlyMap<string, string>): Map<string, string> =>
    new Map([...refs].map(([name, id]) => [name, name === diffId ? other : id]));
  const config = await putJsonStream(
    repository,
    CONTENT_TYPES.config,
    configStream.bytes,
    replaced(configStream.namedRefs),
  );
  const refs = replaced(manifestStream.namedRefs).set(`config:${manifest.config.digest}`, config);
  await repository.linkStreams([
    [layerContentId(diffId), other],
    [configContentId(manifest.config.digest), config],
    [manifestContentId(digest), await putJsonStream(repository, CONTENT_TYPES.manifest, manifestStream.bytes, refs)],
  ]);
  rmSync(old);
  return other;
}

/** Files of the objects that the lower layer refers to. */
async function layerObjects(path: string): Promise<string[]> {
  using repository = await Repository.open(path);
  using reader = repository.openStream(repository.streamObject(`oci-layer-${recorded.diff_ids[0]}`) ?? '');
  return Array.from({ length: reader.objects.length }, (_, index) =>
    join(path, 'objects', objectPath(reader.objects.at(index))),
  );
}

async function assertSound(path: string): Promise<void> {
  using repository = await Repository.open(path);
  const report = await fsckImages(repository, undefined);
  assert.deepEqual([...report.errors, ...report.repository.errors], []);
}

function differences(path: string, soundPath: string): string[] {
  const [actual, expected] = [contents(path), contents(soundPath)];
  const more = [...actual.keys()].filter((name) => !expected.has(name)).map((name) => `more: ${name}`);
  return [
    ...more,
    ...[...expected].flatMap(([name, content]) =>
      actual.get(name) === content ? [] : [`${actual.has(name) ? 'other' : 'missing'}: ${name}`],
    ),
  ];
}

/** Every object and name, without what only this program looks at. */
function contents(path: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(path, folder), { withFileTypes: true })) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (['quarantine', 'verified', 'objects/zz'].includes(name) || name.startsWith('streams/replaced-')) continue;
      if (entry.isDirectory()) visit(name);
      else
        found.set(
          name,
          entry.isSymbolicLink()
            ? readlinkSync(join(path, name))
            : createHash('sha256')
                .update(readFileSync(join(path, name)))
                .digest('hex'),
        );
    }
  };
  visit('');
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function readdirIfThere(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
