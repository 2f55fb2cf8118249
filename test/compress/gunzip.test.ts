import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Gunzip } from '../../src/compress/gunzip.js';
import { nodeGunzip } from '../../src/compress/node-gunzip.js';
import { releaseBytes } from '../../src/compress/release-bytes.js';

const MIB = 1 << 20;
const SMALL = Buffer.from('a small member, '.repeat(9));
const LARGE = Buffer.concat([randomBytes(MIB), Buffer.alloc(3 * MIB, 'much the same '), randomBytes(MIB / 2)]);
const ONE = gzipSync(SMALL);
const changed = (at: number): Buffer => {
  const bytes = Buffer.from(ONE);
  bytes[at]! ^= 1;
  return bytes;
};

type Reader = (pieces: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

function inAddon(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const gunzip = Gunzip.open();
  assert.ok(gunzip, 'this Node does not let the addon use its zlib');
  return gunzip.read(pieces[Symbol.asyncIterator]());
}
const READERS: readonly [name: string, read: Reader][] = [
  ['the addon', inAddon],
  ['node:zlib', nodeGunzip],
];

/** Each piece is a buffer of its own, which the reader may free. */
async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    const piece = Buffer.allocUnsafeSlow(Math.min(size, bytes.length - at));
    bytes.copy(piece, 0, at);
    yield piece;
  }
}

async function all(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const piece of pieces) found.push(Buffer.from(piece));
  return Buffer.concat(found);
}

const GOOD: readonly [what: string, file: Buffer][] = [
  ['one member', ONE],
  ['one of several output buffers', gzipSync(LARGE)],
  ['a member of nothing', gzipSync(Buffer.alloc(0))],
  ['several members', Buffer.concat([ONE, gzipSync(Buffer.alloc(0)), gzipSync(LARGE, { level: 1 }), ONE])],
  ['zeros at the end', Buffer.concat([ONE, ONE, Buffer.alloc(700)])],
  ['zeros and something else', Buffer.concat([ONE, Buffer.alloc(3), Buffer.from('what is this')])],
];
const BAD: readonly [what: string, file: Buffer, code: RegExp][] = [
  ['something else at the end', Buffer.concat([ONE, Buffer.from('what is this')]), /Z_DATA_ERROR/],
  ['no gzip at all', Buffer.from('what is this, and what comes after it'), /Z_DATA_ERROR/],
  ['a wrong checksum', changed(ONE.length - 6), /Z_DATA_ERROR/],
  ['a wrong length', changed(ONE.length - 1), /Z_DATA_ERROR/],
  ['a wrong byte inside', changed(11), /Z_DATA_ERROR/],
  ['a second member that is cut', Buffer.concat([ONE, ONE.subarray(0, 5)]), /Z_BUF_ERROR/],
  ['nothing', Buffer.alloc(0), /Z_BUF_ERROR/],
];

for (const [name, read] of READERS) {
  for (const [what, file] of GOOD)
    test(`${name}: ${what}`, async () => {
      const expected = gunzipSync(file);
      for (const size of file.length < 1000 ? [1, 7, 2000] : [1000, 65_536, 1 << 23])
        assert.ok((await all(read(cut(file, size)))).equals(expected), `in pieces of ${size} bytes`);
    });

  for (const [what, file, code] of BAD)
    test(`${name} refuses ${what}`, async () => {
      for (const size of [1, 3, 2000])
        await assert.rejects(all(read(cut(file, size))), (error: Error & { code?: string }) => {
          assert.match(error.code ?? '', code, error.message);
          return true;
        });
    });

  test(`${name} refuses a file that is cut, wherever`, async () => {
    for (let length = 1; length < ONE.length; length++)
      await assert.rejects(all(read(cut(ONE.subarray(0, length), 50))), { code: 'Z_BUF_ERROR' }, String(length));
  });

  test(`${name}: an error of the source is told, and the source is read to its end`, async () => {
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield* cut(ONE.subarray(0, 20), 20);
      throw new Error('the network is broken');
    };
    await assert.rejects(all(read(broken())), /the network is broken/);
    let ended = false;
    const counted = async function* (): AsyncGenerator<Buffer> {
      yield* cut(Buffer.concat([ONE, Buffer.alloc(3 * MIB)]), 65_536);
      ended = true;
    };
    assert.ok((await all(read(counted()))).equals(SMALL));
    assert.ok(ended);
  });

  test(`${name}: a reader may leave`, async () => {
    for await (const piece of read(cut(gzipSync(LARGE), 65_536))) if (piece.length > 0) break;
  });
}

test('a gigabyte of zeros takes no memory', async () => {
  const file = gzipSync(Buffer.alloc(128 * MIB));
  const before = process.memoryUsage().arrayBuffers;
  let [length, most] = [0, 0];
  for await (const piece of inAddon(cut(Buffer.concat(Array.from({ length: 8 }, () => file)), 65_536))) {
    length += piece.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  assert.equal(length, 1024 * MIB);
  assert.ok(most < 4 * MIB, `${most} bytes`);
});

test('bytes that are all of their buffer are freed, others stay', () => {
  const whole = Buffer.allocUnsafeSlow(100);
  const part = whole.subarray(1);
  releaseBytes(part);
  assert.deepEqual([whole.length, part.length], [100, 99]);
  releaseBytes(whole);
  assert.deepEqual([whole.length, part.length], [0, 0]);
  releaseBytes(whole);
  assert.throws(() => releaseBytes(new Uint8Array(new SharedArrayBuffer(8))), TypeError);
});
