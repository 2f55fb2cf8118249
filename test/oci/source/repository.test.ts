import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { copyImage } from '../../../src/oci/push/copy.js';
import { openImage } from '../../../src/oci/image/image.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import type { Repository } from '../../../src/repository/repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import { newLayout, newRepository, sha256, tarOf, type Layout } from '../../support/images/source-layout.js';

const BASE = tarOf({ random: randomBytes(300_000), text: 'text '.repeat(1000), small: 's' });
const TOP = tarOf({ other: randomBytes(100_000) });

async function pull(repository: Repository, layout: Layout, tag: string): Promise<PullResult> {
  await using source = await openSource(`oci:${layout.path}:${tag}`);
  return await pullImage(repository, source, { name: tag });
}

function publish(t: TestContext): Layout {
  const layout = newLayout(t);
  return layout.publish({
    image: layout.image([{ tar: BASE }, { tar: TOP }, { tar: BASE }]),
    artifact: layout.artifact(['tiny', randomBytes(2 << 20), '']),
  });
}

function objectFiles(path: string): string[] {
  return readdirSync(join(path, 'objects'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

for (const from of ['sha256', 'sha512'] as const) {
  for (const to of ['sha256', 'sha512'] as const) {
    test(`a copy from ${from} to ${to} is what a pull would have made`, async (t) => {
      const layout = publish(t);
      const source = await newRepository(t, from);
      const pulled = await newRepository(t, to);
      const copied = await newRepository(t, to);
      for (const tag of ['image', 'artifact']) {
        await pull(source.repository, layout, tag);
        const { layers: _, ...expected } = await pull(pulled.repository, layout, tag);
        assert.ok(copied.repository.objects);
        const { layers: __, ...actual } = await withoutLeak(() =>
          copyImage(source.repository, copied.repository, tag, { name: tag }),
        );
        assert.deepEqual(actual, expected);
      }
      assert.ok(objectFiles(copied.path).every((file) => statSync(file).nlink === 1));
    });
  }
}

test('a copy without a name is there by its digest', async (t) => {
  const layout = publish(t);
  const source = await newRepository(t);
  const { manifestDigest } = await pull(source.repository, layout, 'image');
  const copied = await newRepository(t);
  await copyImage(source.repository, copied.repository, `@${manifestDigest}`);
  assert.equal((await openImage(copied.repository, `@${manifestDigest}`)).digest, manifestDigest);
  assert.deepEqual(copied.repository.listRefs('streams'), []);
});

test('a copy without copying shares the files, and cannot change the algorithm', async (t) => {
  const layout = publish(t);
  const source = await newRepository(t);
  await pull(source.repository, layout, 'image');
  const other = await newRepository(t, 'sha512');
  await assert.rejects(copyImage(source.repository, other.repository, 'image', { zeroCopy: true }), {
    code: 'ALGORITHM',
  });
  const copied = await newRepository(t);
  const { layers } = await copyImage(source.repository, copied.repository, 'image', { zeroCopy: true });
  const total = (key: 'reflinked' | 'hardlinked' | 'copied'): number =>
    layers.reduce((sum, { stats }) => sum + (stats?.[key] ?? 0), 0);
  assert.equal(total('reflinked') + total('hardlinked'), 3);
  assert.equal(total('copied'), 0);
});

const damages: [what: string, damage: (file: string) => void][] = [
  [
    'changed',
    (file) =>
      writeFileSync(
        file,
        readFileSync(file).map((byte, at) => (at === 5000 ? byte ^ 1 : byte)),
      ),
  ],
  ['cut', (file) => truncateSync(file, 5000)],
];
for (const [what, damage] of damages) {
  test(`an object of the source that was ${what} ends the copy, and nothing gets a name`, async (t) => {
    const source = await newRepository(t);
    await pull(source.repository, publish(t), 'image');
    damage(objectFiles(source.path).find((file) => statSync(file).size === 300_000) as string);
    const copied = await newRepository(t, 'sha512' as Algorithm);
    await assert.rejects(
      copyImage(source.repository, copied.repository, 'image', { name: 'image' }),
      /expected|size|bytes/,
    );
    assert.deepEqual(copied.repository.listRefs('streams'), []);
    assert.equal(copied.repository.listStreams().includes(`oci-layer-${sha256(BASE)}`), false);
  });
}

test('what is not in the source cannot be copied', async (t) => {
  const source = await newRepository(t);
  assert.ok(source.repository.objects);
  const copied = await newRepository(t);
  await assert.rejects(copyImage(source.repository, copied.repository, 'nothing'), { code: 'NOT_FOUND' });
});
