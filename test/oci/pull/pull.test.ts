// All images of the small store, in process and over sockets, against what cfsctl made of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DigestMismatchError } from '../../../src/errors.js';
import { openDirectoryPath } from '../../../src/fd/fd.js';
import type { LayerStream } from '../../../src/layer/stream.js';
import { importLayer } from '../../../src/oci/pull/import-layer.js';
import { takePolicy } from '../../../src/repository/local-fetch.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullEvent } from '../../../src/oci/pull/types.js';
import { openSplitfdstreamImage } from '../../../src/oci/source/splitfdstream.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import type { ImageSource } from '../../../src/oci/source/source.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { readTag } from '../../../src/repository/tags.js';
import { Store } from '../../../src/storage/store.js';
import { problemsOf } from '../../support/faults/check-repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import { header } from '../../support/layers/make-tar.js';
import { fastFolder } from '../../support/fast-folder.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { assertAsRecorded, recorded } from './golden-pull.js';
import { serving, type Form } from '../../support/servers/serving.js';

const index = smallIndex();

let small: SmallStore;
let store: Store;
let folder: string;
let fast: string;

before(() => {
  small = unpackSmallStore();
  store = Store.open({ graphroot: small.graphroot });
  folder = mkdtempSync(join(tmpdir(), 'pull-'));
  fast = mkdtempSync(join(fastFolder, 'pull-'));
});

after(() => {
  store[Symbol.dispose]();
  small.remove();
  for (const path of [folder, fast]) rmSync(path, { recursive: true });
});

async function withRepository(
  name: string,
  algorithm: 'sha256' | 'sha512',
  body: (repository: Repository) => Promise<void>,
): Promise<void> {
  const path = join(name.endsWith('-store') ? folder : fast, name);
  initRepository(path, { algorithm, insecure: true });
  {
    using repository = await Repository.open(path, { write: true });
    await body(repository);
  }
  assert.deepEqual(await problemsOf(path), []);
  rmSync(path, { recursive: true });
}

for (const algorithm of ['sha256', 'sha512'] as const)
  describe(`${algorithm}: every image becomes what cfsctl made of it`, () => {
    async function pullAll(repository: Repository, open: (image: string) => Promise<ImageSource>): Promise<void> {
      for (const [name, image] of Object.entries(index)) {
        await using source = await open(image.image_id);
        const pulled = await pullImage(repository, source, { name });
        assertAsRecorded(image, algorithm, pulled);
        assert.equal(repository.hasImage(pulled.images.get(1) as string), true, name);
      }
    }

    test('from the store', () =>
      withoutLeak(() =>
        withRepository(`${algorithm}-store`, algorithm, (repository) =>
          pullAll(repository, (image) => openStorageImage(image, { graphroot: small.graphroot })),
        ),
      ));

    for (const form of ['directory', 'exact'] as const)
      test(`over a socket, ${form}`, () =>
        withoutLeak(async () => {
          await using server = await serving(store, folder, form);
          await withRepository(`${algorithm}-${form}`, algorithm, (repository) =>
            pullAll(repository, (image) => openSplitfdstreamImage(server.path, image)),
          );
        }));
  });

// Their streams lack padding and end blocks: those of tars that do not end as most do cannot be put back.
const OTHER_ENDS = ['zeta:dotgz', 'zeta:gnu', 'zeta:notrailer', 'zeta:oneblock'];

test('servers that know no extension: every image is complete, or refused by its diff_id', () =>
  withoutLeak(async () => {
    await using server = await serving(store, folder, 'legacy');
    await withRepository('legacy', 'sha512', async (repository) => {
      const refused: string[] = [];
      for (const [name, image] of Object.entries(index)) {
        await using source = await openSplitfdstreamImage(server.path, image.image_id);
        try {
          assertAsRecorded(image, 'sha512', await pullImage(repository, source, { name }));
        } catch (error) {
          assert.ok(
            error instanceof DigestMismatchError && recorded(image).diff_ids.includes(error.place.layer ?? ''),
            name,
          );
          assert.equal(readTag(repository, name), undefined);
          refused.push(name);
        }
      }
      assert.deepEqual(refused, OTHER_ENDS);
    });
  }));

test('a second pull of an image reads nothing from the source', async () => {
  await withRepository('again', 'sha512', async (repository) => {
    const pull = async (): Promise<string[]> => {
      const events: PullEvent[] = [];
      await using source = await openStorageImage('localhost/alpha:v2', { graphroot: small.graphroot });
      await pullImage(repository, source, { name: 'alpha', onEvent: (event) => void events.push(event) });
      return events.map(({ kind }) => kind);
    };
    assert.ok((await pull()).includes('imported'));
    assert.deepEqual(await pull(), ['layers', 'present', 'present']);
  });
});

test('a layer that occurs twice is read once', async () => {
  await withRepository('twice', 'sha512', async (repository) => {
    const events: PullEvent[] = [];
    await using source = await openStorageImage('localhost/zeta:twice', { graphroot: small.graphroot });
    await pullImage(repository, source, { onEvent: (event) => void events.push(event) });
    assert.equal(source.layers.length, 4);
    assert.equal(events.filter(({ kind }) => kind === 'imported').length, 2);
  });
});

const forms: readonly Form[] = ['directory', 'exact', 'legacy'];
for (const form of forms)
  test(`an aborted pull over a socket, ${form}, leaves nothing named and nothing open`, () =>
    withoutLeak(async () => {
      await using server = await serving(store, folder, form);
      await withRepository(`abort-${form}`, 'sha512', async (repository) => {
        const controller = new AbortController();
        await using source = await openSplitfdstreamImage(server.path, index['zeta:f300']!.image_id);
        const reason = new Error('enough');
        const pull = pullImage(repository, source, {
          name: 'never',
          signal: controller.signal,
          onEvent: ({ kind }) => {
            if (kind === 'progress' || kind === 'layers') controller.abort(reason);
          },
        });
        await assert.rejects(pull, (error) => error === reason);
        assert.deepEqual([repository.listStreams(), repository.listImages()], [[], []]);
      });
    }));

test('an abort does not wait for the end of the file that is being read', () =>
  withoutLeak(() =>
    withRepository('large-file', 'sha512', async (repository) => {
      const size = 16 * 2 ** 30;
      const sizeField = Buffer.alloc(12);
      sizeField[0] = 0x80;
      sizeField.writeBigUInt64BE(BigInt(size), 4);
      writeFileSync(join(fast, 'large'), '');
      truncateSync(join(fast, 'large'), size);
      using dir = openDirectoryPath(fast);
      const layer: LayerStream = {
        async *[Symbol.asyncIterator]() {
          yield [
            { kind: 'bytes', bytes: header({ size: sizeField }) },
            { kind: 'named', dir, name: 'large', size },
          ];
        },
        [Symbol.asyncDispose]: async () => {},
      };
      const source = { diffId: 'sha256:unknown', size: undefined, open: async () => layer };
      const reason = new Error('enough');
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 100);
      const policy = takePolicy('disabled', { trusted: true, verityRequired: false, sealSource: false });
      await assert.rejects(
        importLayer(repository, source, { policy, signal: controller.signal }),
        (error) => error === reason,
      );
    }),
  ));
