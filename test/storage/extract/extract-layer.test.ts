// What comes out is what podman unpacked: the recorded store is the judge.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { withoutLeak } from '../../support/open-fds.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { Store } from '../../../src/storage/store.js';
import { TemporaryFolder } from '../../support/filesystems.js';
import { joinedSegments } from '../../support/layers/tar-split-lines.js';
import { listTree, type Shown } from '../../support/list-tree.js';
import type { Chunk, LayerStream } from '../../../src/layer/stream.js';
import { END, header, padded } from '../../support/layers/make-tar.js';
import { extractTo } from '../../support/layers/extract-to.js';

const skip = process.getuid?.() === 0 ? false : 'owners and devices of a store need root';

let small: SmallStore;
let store: Store;

before(() => {
  small = unpackSmallStore();
  store = Store.open({ graphroot: small.graphroot });
});

after(() => {
  store[Symbol.dispose]();
  small.remove();
});

for (const name of Object.keys(smallIndex())) {
  test(`${name}: each layer is unpacked as podman did, with the same tar-split`, { skip }, async () => {
    for (const layer of await store.layers(await store.image(`localhost/${name}`))) {
      using folder = new TemporaryFolder();
      const diff = join(folder.path, 'diff');
      mkdirSync(diff, { mode: 0o555 });
      const extracted = await withoutLeak(
        async () => await extractTo(await store.layerStream(layer), diff, join(folder.path, 'tar-split')),
      );
      assert.equal(extracted.diffId, layer.diffId);
      assert.equal(extracted.size, layer.size);
      const theirs = join(small.graphroot, 'overlay', layer.id, 'diff');
      assert.deepEqual(comparable(listTree(diff)), comparable(listTree(theirs)), layer.id);
      const recipe = gunzipSync(readFileSync(join(folder.path, 'tar-split'))).toString('latin1');
      const podmans = readFileSync(join(small.graphroot, 'overlay-layers', `${layer.id}.tar-split.gz`));
      assert.deepEqual(joinedSegments(recipe), joinedSegments(gunzipSync(podmans).toString('latin1')));
    }
  });
}

/** When the store was made: what has no time in a tar has a later one. */
const RECORDED = 1_790_000_000_000_000_000n;
const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;

/**
 * What can be compared. The podman that wrote the store did nothing with a layer's own root, and the program that
 * packed it knows no hardlinks of pipes.
 */
function comparable(shown: Map<string, Shown>): Map<string, Shown> {
  for (const one of shown.values()) {
    if (one.mtime > RECORDED) one.mtime = 0n;
    if ((Number.parseInt(one.mode, 8) & S_IFMT) === S_IFIFO) one.sameAs = '';
  }
  shown.delete('');
  return shown;
}

test('wherever the pieces of the stream are cut, what comes out is the same', { skip }, async () => {
  const contents = [1, 20, 63, 64, 65, 700].map((size) => Buffer.alloc(size, `content of ${size} `));
  const tar = Buffer.concat([
    ...contents.flatMap((content, index) => [header({ name: `file-${index}`, size: content.length }), padded(content)]),
    END,
  ]);
  for (const length of [1, 7, 100, 512, 513, 530, tar.length]) {
    using folder = new TemporaryFolder();
    const diff = join(folder.path, 'diff');
    mkdirSync(diff);
    const chunks: Chunk[] = [];
    for (let at = 0; at < tar.length; at += length)
      chunks.push({ kind: 'bytes', bytes: tar.subarray(at, at + length) });
    const stream: LayerStream = {
      async *[Symbol.asyncIterator]() {
        for (let at = 0; at < chunks.length; at += 200) yield chunks.slice(at, at + 200);
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const { diffId } = await extractTo(stream, diff, join(folder.path, 'tar-split'));
    assert.equal(diffId, `sha256:${createHash('sha256').update(tar).digest('hex')}`);
    for (const [index, content] of contents.entries())
      assert.deepEqual(readFileSync(join(diff, `file-${index}`)), content, `pieces of ${length}`);
  }
});
