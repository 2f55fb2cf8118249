// How long others have to wait for the lock of the layers, in a store with many of them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs, { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { files } from '../../../src/native.js';
import { Store } from '../../../src/storage/store.js';
import { fastFolder } from '../../support/fast-folder.js';
import { makeStore } from '../../support/images/made-store.js';

const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';
const RECORDS = 1000;
/** Milliseconds, less those that the disk takes to sync a file. Measured: 15 to 30. */
const MOST = 100;
const IMAGE = 'localhost/one:1';

// Whoever imports a function keeps the one that it gets: the store's writer is imported after this.
let syncing = 0;
const { fsync } = fs;
fs.fsync = Object.assign((fd: number, done: fs.NoParamCallback) => {
  const start = performance.now();
  fsync(fd, (error) => {
    syncing += performance.now() - start;
    done(error);
  });
}, fsync);
syncBuiltinESMExports();
const { openStoreForWriting } = await import('../../../src/storage/write/open.js');

/** Milliseconds for which each lock of the layers is held, less syncing. */
function watchLocks(): { times: number[]; stop: () => void } {
  const { ofdLock, close } = files;
  const held = new Map<number, number>();
  const times: number[] = [];
  files.ofdLock = (fd, kind) => {
    const locked = ofdLock(fd, kind);
    const isLayers = readlinkSync(`/proc/self/fd/${fd}`).endsWith('/layers.lock');
    if (locked && isLayers) held.set(fd, performance.now() - syncing);
    return locked;
  };
  files.close = (fd) => {
    const since = held.get(fd);
    if (since !== undefined && held.delete(fd)) times.push(performance.now() - syncing - since);
    close(fd);
  };
  return { times, stop: () => void Object.assign(files, { ofdLock, close }) };
}

test(`with ${RECORDS} layers the locks are held for less than ${MOST} ms, syncing apart`, { skip }, async (t) => {
  const folder = mkdtempSync(join(fastFolder, 'lock-time-'));
  try {
    makeStore(join(folder, 'from'), [
      { name: IMAGE, layers: [{ entries: [{ name: 'a', content: Buffer.from('a') }] }] },
    ]);
    using from = Store.open({ graphroot: join(folder, 'from') });
    const graphroot = join(folder, 'to');
    await using store = await openStoreForWriting({ graphroot });
    const hex = (index: number): string => createHash('sha256').update(String(index)).digest('hex');
    const records = Array.from({ length: RECORDS }, (_, index) => ({
      id: hex(index),
      ...(index > 0 && { parent: hex(index - 1) }),
      created: '2026-01-01T00:00:00.123456789Z',
      'compressed-diff-digest': `sha256:${hex(-index)}`,
      'compressed-size': 123456,
      'diff-digest': `sha256:${hex(index)}`,
      'diff-size': 654321,
      compression: 2,
      uidset: [0, 1, 2, 100],
      gidset: [0, 1, 2, 100],
    }));
    writeFileSync(join(graphroot, 'overlay-layers/layers.json'), JSON.stringify(records));
    const [layer] = await from.layers(await from.image(IMAGE));
    const best: number[] = [];
    // Others have the processors, too: the best of some times counts.
    for (let round = 0; round < 20 && !best.some((time) => time < MOST); round++) {
      const { times, stop } = watchLocks();
      try {
        const stream = await from.layerStream(layer!, { lease: 'descriptors' });
        await store.putLayer(stream, { diffId: layer!.diffId! });
      } finally {
        stop();
      }
      best.push(Math.max(...times));
      writeFileSync(join(graphroot, 'overlay-layers/layers.json'), JSON.stringify(records));
    }
    t.diagnostic(`locks held at most ${best.map((time) => time.toFixed(1)).join(', ')} ms`);
    assert.ok(Math.min(...best) < MOST, `${best.join(', ')} ms`);
    assert.ok(readFileSync(join(graphroot, 'overlay-layers/layers.json')).length > 100_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
