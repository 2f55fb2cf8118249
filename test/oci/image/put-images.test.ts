// Boot images of the small store's images, against what cfsctl 0.9.4 made of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { verityDigest } from '../../../src/fsverity/digest.js';
import { findBootImage } from '../../../src/oci/image/find-boot-image.js';
import { inspectImage, openImage } from '../../../src/oci/image/image.js';
import { linkedImages } from '../../../src/oci/image/linked-images.js';
import { namedTree } from '../../../src/oci/image/named-tree.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { listTags } from '../../../src/repository/tags.js';
import { problemsOf } from '../../support/faults/check-repository.js';
import { fastFolder } from '../../support/fast-folder.js';
import {
  smallFile,
  smallIndex,
  unpackSmallStore,
  type SmallImage,
  type SmallStore,
} from '../../support/images/small-store.js';

type Algorithm = 'sha256' | 'sha512';
type Version = 1 | 2;

interface Recorded {
  compute_id_bootable: string;
  compute_id_bootable_keep_user_xattrs: string;
  bootable_pull: {
    composefs_erofs: string;
    composefs_boot_erofs: string;
    config_stream: string;
    config_named_refs: Record<string, string>;
    manifest_stream: string;
  };
}

const index = smallIndex();
const signal = new AbortController().signal;
let small: SmallStore;
let folder: string;

before(() => {
  small = unpackSmallStore();
  folder = mkdtempSync(join(fastFolder, 'bootable-'));
});
after(() => {
  small.remove();
  rmSync(folder, { recursive: true });
});

function imageCalled(dir: string): SmallImage {
  const found = Object.values(index).find((image) => image.dir === dir);
  assert.ok(found, dir);
  return found;
}

const recordedFor = (image: SmallImage, algorithm: Algorithm, version: Version): Recorded =>
  (
    JSON.parse(smallFile(image, 'results.json').toString()) as {
      results: Record<Algorithm, { erofs_versions: Record<Version, Recorded> }>;
    }
  ).results[algorithm].erofs_versions[version];

async function withRepository(
  algorithm: Algorithm,
  erofsVersion: Version,
  body: (repository: Repository, path: string) => Promise<void>,
): Promise<void> {
  const path = mkdtempSync(join(folder, 'repository-'));
  initRepository(path, { algorithm, insecure: true, erofsVersion });
  {
    using repository = await Repository.open(path, { write: true });
    await body(repository, path);
  }
  assert.deepEqual(await problemsOf(path), []);
}

async function pull(repository: Repository, { image_id }: SmallImage, bootable: boolean, name?: string) {
  await using source = await openStorageImage(image_id, { graphroot: small.graphroot });
  return await pullImage(repository, source, { bootable, name });
}

for (const algorithm of ['sha256', 'sha512'] as const)
  for (const version of [1, 2] as const)
    for (const dir of ['delta_one', 'delta_selinux', 'gamma_emptylayer'])
      test(`${dir}, ${algorithm}, version ${version}: the same boot image, streams and references as cfsctl's`, async () => {
        const image = imageCalled(dir);
        const recorded = recordedFor(image, algorithm, version);
        await withRepository(algorithm, version, async (repository) => {
          const pulled = await pull(repository, image, true, 'os');
          const { bootable_pull: expected } = recorded;
          assert.equal(pulled.bootImages.get(version), expected.composefs_boot_erofs);
          assert.equal(pulled.images.get(version), expected.composefs_erofs);
          assert.equal(pulled.configStream, expected.config_stream);
          // cfsctl writes the references to several layers in another order every time.
          if (image.n_layers === 1) assert.equal(pulled.manifestStream, expected.manifest_stream);
          const stored = await openImage(repository, 'os');
          assert.deepEqual(Object.fromEntries(stored.configStream.namedRefs), expected.config_named_refs);
          assert.equal(inspectImage(repository, stored).bootErofs, expected.composefs_boot_erofs);

          for (const xattrs of ['allowlist-only', 'keep-user-xattrs'] as const) {
            const root = await namedTree(repository, 'os', undefined, { xattrs, bootable: true, signal });
            const id = verityDigest(writeErofs(root, { version, algorithm }), algorithm).toString('hex');
            assert.equal(
              id,
              xattrs === 'allowlist-only'
                ? recorded.compute_id_bootable
                : recorded.compute_id_bootable_keep_user_xattrs,
              xattrs,
            );
          }
          const root = await namedTree(repository, 'os', undefined, {
            xattrs: 'allowlist-only',
            bootable: true,
            signal,
          });
          assert.equal(
            Buffer.concat([...printDump(root)]).toString('latin1'),
            smallFile(image, `dump-bootable.${algorithm}.txt`).toString('latin1'),
          );
        });
      });

describe('with an image that was pulled before', () => {
  const one = (): SmallImage => imageCalled('delta_selinux');

  test('the boot image is added, and stays when the image is pulled without it', async () => {
    await withRepository('sha256', 1, async (repository) => {
      const plain = await pull(repository, one(), false, 'os');
      assert.equal(plain.bootImages.size, 0);
      const boot = await pull(repository, one(), true, 'os');
      const expected = recordedFor(one(), 'sha256', 1).bootable_pull;
      assert.equal(boot.configStream, expected.config_stream);
      assert.deepEqual([...boot.bootImages], [...(await pull(repository, one(), true, 'os')).bootImages]);
      assert.equal((await pull(repository, one(), false, 'os')).configStream, expected.config_stream);
    });
  });

  test('garbage collection keeps the boot image, and what it needs, as long as the tag is there', async () => {
    await withRepository('sha256', 1, async (repository) => {
      const { bootImages } = await pull(repository, one(), true, 'os');
      const id = bootImages.get(1) as string;
      await collectGarbage(repository);
      assert.ok(repository.hasImage(id) && repository.objects.has(id));
    });
  });

  test('an expected boot image is found in another format and with other xattrs, and is one of the image afterwards', async () => {
    await withRepository('sha256', 1, async (repository) => {
      const { manifestDigest, images } = await pull(repository, one(), false, 'os');
      const inV2 = recordedFor(one(), 'sha256', 2);
      for (const [expected, xattrs, version] of [
        [inV2.compute_id_bootable, 'allowlist-only', 2],
        [recordedFor(one(), 'sha256', 1).compute_id_bootable_keep_user_xattrs, 'keep-user-xattrs', 1],
      ] as const) {
        for (const _ of ['made', 'known'])
          assert.deepEqual((await findBootImage(repository, manifestDigest, expected, signal)).found, {
            xattrs,
            version,
          });
        assert.ok(repository.hasImage(expected));
      }
      assert.deepEqual(await findBootImage(repository, manifestDigest, 'ff'.repeat(32), signal), {
        found: undefined,
        tried: 4,
      });
      assert.deepEqual(
        (await linkedImages(repository, inV2.compute_id_bootable)).map(({ bootable, version, xattrMode }) => [
          bootable,
          version,
          xattrMode,
        ]),
        [
          [false, 1, null],
          [true, 2, 'allowlist-only'],
          [true, 1, 'keep-user-xattrs'],
        ],
      );
      assert.deepEqual(
        await linkedImages(repository, images.get(1) as string),
        await linkedImages(repository, inV2.compute_id_bootable),
      );
      await assert.rejects(linkedImages(repository, 'ff'.repeat(32)), { code: 'NOT_FOUND' });
    });
  });
});

test('an image without /boot cannot be booted from: it gets no tag', async () => {
  await withRepository('sha256', 1, async (repository) => {
    await assert.rejects(pull(repository, imageCalled('alpha_v1'), true, 'os'), {
      code: 'NOT_BOOTABLE',
      message: /directory \/boot/,
    });
    assert.deepEqual(listTags(repository), []);
  });
});
