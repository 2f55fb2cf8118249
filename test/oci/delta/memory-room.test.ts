import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { MemoryRoom } from '../../../src/oci/delta/memory-room.js';

const never = new AbortController().signal;

describe('memory that several share', () => {
  it('is had in the order of asking, and more than all there is alone', async () => {
    const room = new MemoryRoom(100);
    const got: string[] = [];
    const ask = async (name: string, bytes: number, signal = never): Promise<Disposable> => {
      const held = await room.take(bytes, signal);
      got.push(name);
      return held;
    };
    const first = await ask('first', 60);
    const second = await ask('second', 40);
    const huge = ask('huge', 1000);
    // It would fit after the first one has gone, but is not next.
    const last = ask('last', 10);
    first[Symbol.dispose]();
    await setImmediate();
    assert.deepEqual(got, ['first', 'second']);
    second[Symbol.dispose]();
    second[Symbol.dispose]();
    (await huge)[Symbol.dispose]();
    (await last)[Symbol.dispose]();
    assert.deepEqual(got, ['first', 'second', 'huge', 'last']);
  });

  it('is not waited for after the signal, and those behind get their turn', async () => {
    const room = new MemoryRoom(100);
    const held = await room.take(50, never);
    const stop = new AbortController();
    const large = room.take(80, stop.signal);
    const small = room.take(50, never);
    stop.abort(new Error('stopped'));
    await assert.rejects(large, /stopped/);
    using _ = await small;
    await assert.rejects(room.take(1, stop.signal), /stopped/);
    held[Symbol.dispose]();
  });
});
