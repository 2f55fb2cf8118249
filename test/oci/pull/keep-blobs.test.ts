// `oci pull --keep-blobs`: blobs that live as long as the image, and make a push the pulled image to the bit.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { pushImage } from '../../../src/oci/push/push.js';
import type { PushEvent } from '../../../src/oci/push/types.js';
import { openImage } from '../../../src/oci/image/image.js';
import { openSource } from '../../../src/oci/source/open.js';
import { layerContentId } from '../../../src/repository/names.js';
import { Repository } from '../../../src/repository/repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import {
  newFolder,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  TYPES,
  type Described,
  type Layout,
} from '../../support/images/source-layout.js';

const tar = tarOf({ text: 'content '.repeat(50_000), noise: randomBytes(3 << 20) });
const plain = tarOf({ plain: 'x' });
const blob = gzipSync(tar, { level: 9 });

interface Scene {
  layout: Layout;
  image: Described;
  path: string;
  repository: Repository;
  pull(keepBlobs: boolean): Promise<void>;
  push(): Promise<{ digest: string; events: PushEvent[] }>;
}

async function scene(t: TestContext): Promise<Scene> {
  const layout = newLayout(t);
  const layer = { tar, blob, descriptor: { mediaType: `${TYPES.layer}+gzip` } };
  const image = layout.image([layer, { tar: plain }, layer]);
  layout.publish({ it: image });
  const { path, repository } = await newRepository(t);
  const pull = async (keepBlobs: boolean): Promise<void> => {
    await using source = await openSource(`oci:${layout.path}:it`);
    await pullImage(repository, source, { name: 'it', keepBlobs });
  };
  const push = async (): Promise<{ digest: string; events: PushEvent[] }> => {
    const events: PushEvent[] = [];
    const at = `oci:${join(newFolder(t), 'out')}:it`;
    const { manifestDigest } = await pushImage(repository, 'it', at, { onEvent: (event) => events.push(event) });
    return { digest: manifestDigest, events };
  };
  return { layout, image, path, repository, pull, push };
}

const anew = (events: readonly PushEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'compressed-anew' ? [event.why] : []));

test('a push of kept blobs is the pulled image', async (t) => {
  const { image, repository, pull, push } = await scene(t);
  await pull(true);
  const { manifestStream } = await openImage(repository, 'it');
  const names = [...manifestStream.namedRefs.keys()].filter((name) => !name.startsWith('config:'));
  assert.deepEqual(names.sort(), [sha256(blob), sha256(plain), sha256(tar)].sort());
  const { digest, events } = await push();
  assert.equal(digest, image.digest);
  assert.deepEqual(anew(events), []);
});

test('they are kept also when the layers are there already, and by a later pull that does not ask', async (t) => {
  const { image, pull, push } = await scene(t);
  await pull(false);
  assert.notEqual((await push()).digest, image.digest);
  for (const keep of [true, false, true]) {
    await pull(keep);
    assert.equal((await push()).digest, image.digest);
  }
});

test('gc keeps them with the image, and takes them with it; fsck finds nothing', async (t) => {
  const { image, path, repository, pull } = await scene(t);
  await pull(true);
  const stream = join(path, 'streams', layerContentId(sha256(blob)));
  repository[Symbol.dispose]();
  const run = (...args: string[]): string => {
    const { status, stdout, stderr } = runCli(['--repo', path, ...args]);
    assert.equal(status, 0, stderr + stdout);
    return stdout;
  };
  run('gc');
  assert.ok(existsSync(stream));
  run('fsck');
  run('oci', 'fsck');
  const folder = newFolder(t);
  assert.match(run('oci', 'push', 'it', `oci:${folder}/out`), new RegExp(`^manifest ${image.digest}\n`));
  run('oci', 'untag', 'it');
  run('gc');
  assert.ok(!existsSync(stream));
  assert.match(run('gc', '--dry-run'), /^Objects: 0 removed/m);
});

test('what only has unpacked layers cannot give blobs', async (t) => {
  const { pull, repository } = await scene(t);
  await pull(false);
  const { openRepositoryImage } = await import('../../../src/oci/source/repository.js');
  await using source = await openRepositoryImage(repository, 'it');
  const { repository: other } = await newRepository(t);
  await assert.rejects(pullImage(other, source, { keepBlobs: true }), { code: 'NO_BLOBS' });
});
