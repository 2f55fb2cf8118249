import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LayerStats } from '../../src/oci/pull/stats.js';
import { SharedFolder, succeed, whyNoPeers } from './peers.js';
import { program } from './processes.js';
import { assertSound } from './repositories.js';
import { makeSmallStore, SMALL_IMAGE_LINKS, SMALL_IMAGE_OBJECTS } from './small-image.js';

interface Result {
  link: string;
  here: LayerStats;
  there: LayerStats;
  cfsctl: string;
  changed: string[];
  files: number;
  shown: number;
  again: number;
  images: [string[], string[]];
}

test('a store that podman has in use: files are linked, and podman goes on as before', { skip: whyNoPeers() }, () => {
  using folder = new SharedFolder();
  makeSmallStore(folder);
  const output = succeed('unshare', [
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    program('live-store'),
    folder.inside,
  ]);
  const { link, here, there, cfsctl, changed, files, shown, again, images } = JSON.parse(output) as Result;
  // Without this the test would show nothing: podman has mounted the folder on itself.
  assert.equal(link, 'EXDEV');
  for (const { hardlinked, reflinked, copied } of [here, there]) {
    const links = reflinked > 0 ? SMALL_IMAGE_OBJECTS : SMALL_IMAGE_LINKS;
    assert.deepEqual([hardlinked + reflinked, copied], [links, SMALL_IMAGE_OBJECTS - links]);
  }
  assert.deepEqual(images[0], images[1]);
  assert.deepEqual(changed, []);
  assert.deepEqual([shown, again], [files, files]);
  for (const name of ['here', 'there']) assertSound(join(folder.path, name));
  if (/linked/.test(cfsctl)) console.log(`cfsctl no longer copies everything from a store in use: ${cfsctl}`);
});
