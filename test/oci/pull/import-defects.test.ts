// Images and repositories that are not what they claim to be, and images that other tools have trouble with.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { BridgeError, DigestMismatchError } from '../../../src/errors.js';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import { readErofs } from '../../../src/erofs/read/reader.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullEvent, PullOptions, PullResult } from '../../../src/oci/pull/types.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { SplitstreamWriter } from '../../../src/repository/splitstream/writer.js';
import { readTag } from '../../../src/repository/tags.js';
import { namesIn, problemsOf } from '../../support/faults/check-repository.js';
import { openDescriptors } from '../../support/filesystems.js';
import {
  baseLayerFolder,
  diffIdOf,
  makeStore,
  type MadeEntry,
  type MadeImage,
  type MadeLayer,
} from '../../support/images/made-store.js';
import { fastFolder } from '../../support/fast-folder.js';

let folder: string;
let graphroot: string;
let path: string;
let descriptors: number;

beforeEach(() => {
  descriptors = openDescriptors();
  folder = mkdtempSync(join(fastFolder, 'defects-'));
  graphroot = join(folder, 'store');
  path = join(folder, 'repository');
  initRepository(path, { insecure: true });
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  assert.equal(openDescriptors(), descriptors, 'a descriptor was left open');
});

const usr: MadeEntry = { name: 'usr/', type: '5', mode: 0o755 };
const file = (name: string, content: string | Buffer): MadeEntry => ({ name, content: Buffer.from(content) });
const right: MadeLayer = {
  entries: [usr, file('usr/program', 'right '.repeat(100)), file('usr/data', 'shared '.repeat(50))],
};
const wrong: MadeLayer = {
  entries: [usr, file('usr/program', 'wrong '.repeat(100)), file('usr/data', 'shared '.repeat(50))],
};
const rightId = diffIdOf(right.entries);
const poisoned: MadeLayer = { ...wrong, claimed: rightId };

async function pull(name: string, options: PullOptions = {}): Promise<PullResult> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openStorageImage(name, { graphroot });
  return await pullImage(repository, source, { name, localFetch: 'disabled', ...options });
}

/** What the image must become: pulled into a repository of its own. */
async function idOf(image: MadeImage): Promise<string> {
  const store = mkdtempSync(join(folder, 'other-'));
  makeStore(store, [image]);
  const clean = join(store, 'repository');
  initRepository(clean, { insecure: true });
  using repository = await Repository.open(clean, { write: true });
  await using source = await openStorageImage(image.name, { graphroot: store });
  return (await pullImage(repository, source)).images.get(1) as string;
}

describe('layers that are not what the config says', () => {
  const images: MadeImage[] = [
    { name: 'localhost/poison:1', layers: [poisoned] },
    { name: 'localhost/good:1', layers: [right] },
  ];

  test('are refused by name, and nothing is published', async () => {
    makeStore(graphroot, images);
    await assert.rejects(
      pull('localhost/poison:1'),
      (error) => error instanceof DigestMismatchError && error.place.layer === rightId,
    );
    assert.deepEqual(namesIn(path), []);
    assert.deepEqual(await problemsOf(path), []);
  });

  test('are stored as what they are where that is asked for', async () => {
    makeStore(graphroot, images);
    const events: PullEvent[] = [];
    const { layers } = await pull('localhost/poison:1', {
      allowUnverified: true,
      onEvent: (event) => void events.push(event),
    });
    assert.equal(layers[0]?.actual, diffIdOf(wrong.entries));
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'unverified'),
      [{ kind: 'unverified', diffId: rightId, actual: diffIdOf(wrong.entries) }],
    );
    assert.deepEqual(
      namesIn(path).filter((name) => name.includes('oci-layer')),
      [`streams/oci-layer-${diffIdOf(wrong.entries)}`],
    );
  });

  for (const allowUnverified of [false, true])
    test(`do not become part of another image${allowUnverified ? ', though they were allowed' : ''}`, async () => {
      makeStore(graphroot, images);
      const expected = await idOf(images[1]!);
      await pull('localhost/poison:1', { allowUnverified }).catch((error: unknown) =>
        assert.ok(error instanceof DigestMismatchError),
      );
      assert.equal((await pull('localhost/good:1')).images.get(1), expected);
      assert.deepEqual(await problemsOf(path), []);
    });

  test('stop the layers beside them', async () => {
    makeStore(graphroot, [
      { name: 'localhost/mixed:1', layers: [right, { ...wrong, claimed: `sha256:${'0'.repeat(64)}` }] },
    ]);
    await assert.rejects(
      pull('localhost/mixed:1'),
      (error) => error instanceof BridgeError && error.place.layer === `sha256:${'0'.repeat(64)}`,
    );
    assert.deepEqual(
      namesIn(path).filter((name) => !name.includes('oci-layer')),
      [],
    );
    assert.deepEqual(await problemsOf(path), []);
  });
});

describe('streams of the right name that other programs left behind', () => {
  const image: MadeImage = { name: 'localhost/good:1', layers: [right] };
  const left: Record<string, (repository: Repository) => Promise<string>> = {
    'another tar': (repository) => stored(repository, tarOf(wrong)),
    'a tar that is cut': (repository) => stored(repository, tarOf(right).subarray(0, 1000)),
    nothing: (repository) => stored(repository, Buffer.alloc(0)),
    'a stream of another kind': (repository) => stored(repository, tarOf(right), CONTENT_TYPES.config),
    'something that is no stream': (repository) => repository.objects.put(Buffer.alloc(5000, 'x')),
    'a stream whose objects are missing': async (repository) => {
      const writer = new SplitstreamWriter(CONTENT_TYPES.layer, repository.algorithm);
      writer.inline(tarOf(right).subarray(0, 1024));
      writer.external('ab'.repeat(64), 600);
      return repository.objects.put(await writer.finish());
    },
  };

  for (const [what, make] of Object.entries(left))
    test(`${what}: noticed and replaced`, async () => {
      makeStore(graphroot, [image]);
      const expected = await idOf(image);
      {
        using repository = await Repository.open(path, { write: true });
        await repository.linkStream(`oci-layer-${rightId}`, await make(repository));
      }
      const { images, layers } = await pull(image.name);
      assert.equal(images.get(1), expected);
      assert.ok(layers[0]?.stats !== undefined, 'the layer was imported anew');
      using repository = await Repository.open(path);
      assert.equal(repository.streamObject(`oci-layer-${rightId}`), layers[0].stream);
    });

  function tarOf({ entries }: MadeLayer): Buffer {
    return Buffer.concat(
      entries.map(({ content }) => Buffer.concat([Buffer.alloc(512, 'h'), content ?? Buffer.alloc(0)])),
    );
  }

  async function stored(
    repository: Repository,
    bytes: Buffer,
    contentType: bigint = CONTENT_TYPES.layer,
  ): Promise<string> {
    const writer = new SplitstreamWriter(contentType, repository.algorithm);
    writer.inline(bytes);
    return repository.objects.put(await writer.finish());
  }
});

describe('files of the store that are gone or changed', () => {
  const changes: [string, (path: string) => void, string][] = [
    ['missing', unlinkSync, 'ENOENT'],
    ['shortened', (name) => truncateSync(name, 10), 'SIZE_MISMATCH'],
    ['grown', (name) => writeFileSync(name, 'more', { flag: 'a' }), 'SIZE_MISMATCH'],
  ];
  for (const [what, change, code] of changes)
    test(`${what}: the error names the file`, async () => {
      makeStore(graphroot, [{ name: 'localhost/good:1', layers: [right] }]);
      change(join(baseLayerFolder(graphroot, right), 'usr/data'));
      await assert.rejects(pull('localhost/good:1'), (error) => {
        assert.ok(error instanceof BridgeError);
        assert.deepEqual([error.code, error.place.layer, error.place.entry], [code, rightId, 'usr/data']);
        return true;
      });
      assert.deepEqual(namesIn(path), []);
    });

  test('changed: refused by the diff_id', async () => {
    makeStore(graphroot, [{ name: 'localhost/good:1', layers: [right] }]);
    const name = join(baseLayerFolder(graphroot, right), 'usr/data');
    writeFileSync(name, readFileSync(name, 'latin1').replace('s', 'S'));
    await assert.rejects(pull('localhost/good:1'), DigestMismatchError);
    assert.deepEqual(namesIn(path), []);
  });
});

describe('objects of the repository that are gone or damaged', () => {
  /** The object of a layer that holds `content`. */
  function find(content: string): string {
    for (const start of readdirSync(join(path, 'objects')))
      for (const rest of readdirSync(join(path, 'objects', start))) {
        const name = join(path, 'objects', start, rest);
        if (readFileSync(name).equals(Buffer.from(content))) return name;
      }
    assert.fail(`no object holds ${content}`);
  }

  const damages: [string, (object: string) => void][] = [
    ['changed', (object) => writeFileSync(object, readFileSync(object).fill('X', 0, 10))],
    ['cut', (object) => truncateSync(object, 1)],
    ['empty', (object) => truncateSync(object, 0)],
  ];
  for (const [what, damage] of damages)
    test(`${what}: replaced by the next layer that has the content`, async () => {
      makeStore(graphroot, [
        { name: 'localhost/good:1', layers: [right] },
        { name: 'localhost/other:1', layers: [wrong] },
      ]);
      await pull('localhost/good:1');
      damage(find('shared '.repeat(50)));
      await pull('localhost/other:1');
      assert.deepEqual(await problemsOf(path), []);
    });

  test('missing: brought back by pulling again, as the message for it says', async () => {
    makeStore(graphroot, [{ name: 'localhost/good:1', layers: [right] }]);
    const { images } = await pull('localhost/good:1');
    unlinkSync(find('right '.repeat(100)));
    assert.deepEqual((await pull('localhost/good:1')).images, images);
    assert.deepEqual(await problemsOf(path), []);
  });

  test('an EROFS image that is missing is made again', async () => {
    makeStore(graphroot, [{ name: 'localhost/good:1', layers: [right] }]);
    const { images } = await pull('localhost/good:1');
    unlinkSync(join(path, 'objects', objectPath(images.get(1) as string)));
    assert.deepEqual((await pull('localhost/good:1')).images, images);
    assert.deepEqual(await problemsOf(path), []);
  });
});

describe('images that are unusual', () => {
  async function dumpOf(entries: readonly MadeEntry[], docker = false): Promise<Map<string, string>> {
    makeStore(graphroot, [{ name: 'localhost/odd:1', layers: [{ entries }], docker }]);
    const { images, manifestDigest } = await pull('localhost/odd:1');
    using repository = await Repository.open(path);
    assert.equal(readTag(repository, 'localhost/odd:1'), manifestDigest);
    using image = repository.objects.open(images.get(1) as string);
    const text = Buffer.concat([...printDump(readErofs(readFileSync(image.number)).root)]).toString();
    assert.deepEqual(await problemsOf(path), []);
    return new Map(
      text
        .trimEnd()
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(' ')), line]),
    );
  }

  /** MTIME is the eighth field of a dump line. */
  const mtime = (line: string | undefined): string | undefined => line?.split(' ')[7];

  test('a docker image gets an EROFS image', async () => {
    assert.ok((await dumpOf(right.entries, true)).has('/usr/program'));
  });

  test('times after 2038', async () => {
    const dump = await dumpOf([usr, { ...file('usr/late', 'late'), mtime: 2 ** 32 + 5 }]);
    assert.equal(mtime(dump.get('/usr/late')), '4294967301.0');
  });

  test('times before 1970', async () => {
    const early = Buffer.alloc(12, 0xff);
    early.writeInt32BE(-100, 8);
    const dump = await dumpOf([usr, { ...file('usr/early', 'early'), mtime: early }]);
    assert.equal(mtime(dump.get('/usr/early')), '-100.0');
  });

  test('no /usr, no folders above a file, /run a symlink', async () => {
    const dump = await dumpOf([file('a/b/c', 'x'), { name: 'run', type: '2', link: 'a' }]);
    assert.deepEqual([...dump.keys()].filter((name) => name !== '/run').sort(), ['/', '/a', '/a/b', '/a/b/c']);
  });
});
