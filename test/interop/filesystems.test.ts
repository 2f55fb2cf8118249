import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { LocalFetch } from '../../src/repository/local-fetch.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { LoopFilesystem, whyNoLoop } from '../support/filesystems.js';
import { SharedFolder, whyNoPeers } from './peers.js';
import { assertSound, makeRepository, pullHere } from './repositories.js';
import { makeSmallStore, SMALL_IMAGE_LINKS, SMALL_IMAGE_OBJECTS } from './small-image.js';
import { filesBelow, snapshot } from './snapshot.js';

type Way = 'reflinked' | 'hardlinked' | 'copied';
const ways: Way[] = ['reflinked', 'hardlinked', 'copied'];

describe('stores on different filesystems', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let erofs: string | undefined;
  before(() => {
    folder = new SharedFolder();
    makeSmallStore(folder);
  });
  after(() => folder[Symbol.dispose]());

  for (const type of ['btrfs', 'xfs'] as const)
    for (const localFetch of ['auto', 'reflink', 'zerocopy'] as const)
      test(`${type}, ${localFetch}: reflinks, and no inode is shared`, { skip: whyNoLoop(type) }, async () => {
        using filesystem = new LoopFilesystem(type);
        await pullAndCheck(filesystem.path, localFetch, 'reflinked');
      });

  const expected: [LocalFetch, Way][] = [
    ['auto', 'hardlinked'],
    ['zerocopy', 'hardlinked'],
    ['reflink', 'copied'],
    ['disabled', 'copied'],
  ];
  for (const [localFetch, way] of expected)
    test(`ext4, ${localFetch}: everything that may be is ${way}`, { skip: whyNoLoop('ext4') }, async () => {
      using filesystem = new LoopFilesystem('ext4');
      await pullAndCheck(filesystem.path, localFetch, way);
    });

  test('from one filesystem to another: zerocopy is refused, auto copies', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4');
    const repository = makeRepository(join(filesystem.path, 'repository'));
    const store = join(folder.path, 'store');
    await assert.rejects(pullHere(repository, 'small', { localFetch: 'zerocopy' }, store), { code: 'ZERO_COPY' });
    check(await pullHere(repository, 'small', { name: 'small' }, store), 'copied');
    assertSound(repository);
  });

  async function pullAndCheck(path: string, localFetch: LocalFetch, way: Way): Promise<void> {
    execFileSync('cp', ['-a', '--reflink=never', join(folder.path, 'store'), path]);
    const store = join(path, 'store');
    const before = snapshot(store);
    const repository = makeRepository(join(path, 'repository'));
    const pulled = await pullHere(repository, 'small', { name: 'small', localFetch }, store);
    check(pulled, way);
    assert.deepEqual(snapshot(store), before);
    assertSound(repository);

    const objects = join(repository, 'objects');
    const shared = filesBelow(objects).filter((name) => lstatSync(join(objects, name)).nlink > 1);
    assert.equal(shared.length, way === 'hardlinked' ? SMALL_IMAGE_LINKS : 0);
    if (way === 'reflinked') assertSharesBlocks(store);
  }

  function check({ layers, images }: PullResult, way: Way): void {
    const stats = layers[0]?.stats;
    assert.ok(stats);
    // The rest are files of other users and setuid ones.
    const shared = way === 'hardlinked' ? SMALL_IMAGE_LINKS : way === 'reflinked' ? SMALL_IMAGE_OBJECTS : 0;
    const expected = { reflinked: 0, hardlinked: 0, [way]: shared, copied: SMALL_IMAGE_OBJECTS - shared };
    assert.deepEqual(
      ways.map((other) => stats[other]),
      ways.map((other) => expected[other]),
    );
    assert.equal(stats.unshareable, way === 'hardlinked' ? expected.copied : 0);
    const [id] = [...images.values()];
    erofs ??= id;
    assert.equal(id, erofs);
  }

  /** The kernel says that blocks of the largest file are in use twice. */
  function assertSharesBlocks(store: string): void {
    const overlay = join(store, 'overlay');
    const largest = filesBelow(overlay)
      .map((name) => join(overlay, name))
      .sort((a, b) => lstatSync(b).size - lstatSync(a).size)[0] as string;
    assert.match(execFileSync('filefrag', ['-vs', largest], { encoding: 'utf8' }), /shared/);
  }
});
