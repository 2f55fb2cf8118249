// Indexes and folders of a store that would lead a writer astray.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openStoreForWriting } from '../../../src/storage/write/open.js';
import { Store } from '../../../src/storage/store.js';
import { fastFolder } from '../../support/fast-folder.js';
import { makeStore } from '../../support/images/made-store.js';
import { withoutLeak } from '../../support/open-fds.js';

const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';
const IMAGE = 'localhost/one:1';

let folder: string;
let graphroot: string;
let secret: string;

beforeEach(async () => {
  if (skip) return;
  folder = mkdtempSync(join(fastFolder, 'hostile-index-'));
  graphroot = join(folder, 'store');
  makeStore(join(folder, 'from'), [{ name: IMAGE, layers: [{ entries: [{ name: 'a', content: Buffer.from('a') }] }] }]);
  await (await openStoreForWriting({ graphroot })).close();
  secret = join(folder, 'secret');
  mkdirSync(secret);
  writeFileSync(join(secret, 'file'), 'mine');
});

afterEach(() => {
  if (!skip) rmSync(folder, { recursive: true });
});

/** Puts the layer of the image. @returns what it threw, or undefined */
async function put(): Promise<unknown> {
  return await withoutLeak(async () => {
    using from = Store.open({ graphroot: join(folder, 'from') });
    try {
      await using to = await openStoreForWriting({ graphroot });
      const [layer] = await from.layers(await from.image(IMAGE));
      const stream = await from.layerStream(layer!, { lease: 'descriptors' });
      await to.putLayer(stream, { diffId: layer!.diffId! });
      return undefined;
    } catch (error) {
      return error;
    }
  });
}

for (const id of ['../../secret', '..', '.', '', 'l', '/etc', 7, null])
  test(`an unfinished layer called ${JSON.stringify(id)} leads nowhere`, { skip }, async () => {
    const records = [{ id, flags: { incomplete: true } }];
    writeFileSync(join(graphroot, 'overlay-layers/layers.json'), JSON.stringify(records));
    await put();
    assert.deepEqual(readdirSync(secret), ['file']);
    assert.ok(existsSync(join(graphroot, 'overlay-layers')) && existsSync(join(graphroot, 'overlay')));
  });

test('an image called like a folder elsewhere is not removed', { skip }, async () => {
  writeFileSync(join(graphroot, 'overlay-images/images.json'), JSON.stringify([{ id: '../../secret', names: ['x'] }]));
  await using to = await openStoreForWriting({ graphroot });
  assert.equal(await to.removeImage('../../secret'), undefined);
  assert.deepEqual(readdirSync(secret), ['file']);
});

for (const place of [
  'overlay/tempdirs',
  'overlay-layers/tmp',
  'overlay-layers/layers.json',
  'overlay-layers/layers.lock',
])
  test(`a symlink in the place of ${place} is not followed`, { skip }, async () => {
    rmSync(join(graphroot, place), { recursive: true, force: true });
    symlinkSync(
      place.endsWith('.json') || place.endsWith('.lock') ? join(secret, 'file') : secret,
      join(graphroot, place),
    );
    assert.notEqual(await put(), undefined);
    assert.deepEqual(readdirSync(secret), ['file']);
    assert.equal(readFileSync(join(secret, 'file'), 'utf8'), 'mine');
  });

for (const place of ['overlay-layers/layers.json', 'overlay-layers/layers.lock', 'storage.lock'])
  test(`a pipe in the place of ${place} does not make a writer wait`, { skip, timeout: 60_000 }, async () => {
    rmSync(join(graphroot, place), { force: true });
    if (place === 'storage.lock') rmSync(join(graphroot, 'overlay-images'), { recursive: true });
    execFileSync('mkfifo', [join(graphroot, place)]);
    assert.notEqual(await put(), undefined);
  });

test('a symlink among the staging folders is removed, and what it leads to stays', { skip }, async () => {
  const tempdirs = join(graphroot, 'overlay/tempdirs');
  mkdirSync(tempdirs, { recursive: true });
  symlinkSync(secret, join(tempdirs, 'temp-dir-x'));
  mkdirSync(join(tempdirs, 'temp-dir-y'));
  symlinkSync(secret, join(tempdirs, 'temp-dir-y/link'));
  assert.equal(await put(), undefined);
  assert.deepEqual(readdirSync(tempdirs), []);
  assert.deepEqual(readdirSync(secret), ['file']);
});
