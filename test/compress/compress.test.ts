import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { compress, compressionLevels, compressionName, type CompressionChoice } from '../../src/compress/compress.js';
import { decompressSection } from '../../src/compress/zstd.js';
import { zstd } from '../../src/compress/zstd-thread.js';

const MIB = 1 << 20;
const words = Array.from({ length: 200 }, () => randomBytes(40));
/** Compressible, and longer than a job of libzstd. */
const CONTENT = Buffer.concat(
  Array.from({ length: (20 * MIB) / 40 }, (_, index) => words[(index * index) % 200] as Buffer),
);
const CHOICES: readonly CompressionChoice[] = [
  { compression: 'gzip' },
  { compression: 'gzip', level: 1 },
  { compression: 'zstd' },
  { compression: 'zstd', level: 1 },
];

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const piece of pieces) found.push(piece);
  return Buffer.concat(found);
}

const open = (compression: string, bytes: Buffer): Buffer =>
  compression === 'gzip' ? gunzipSync(bytes) : decompressSection(bytes, 64 * MIB);

for (const choice of CHOICES) {
  test(`${compressionName(choice)}: comes back, and has the same bytes however it is cut`, async () => {
    const once = await all(compress(cut(CONTENT, 3_000_001), choice));
    const again = await all(compress(cut(CONTENT, 65_536), choice));
    assert.ok(open(choice.compression, once).equals(CONTENT));
    assert.ok(once.equals(again));
    assert.ok(once.length < CONTENT.length / 2, String(once.length));
  });
}

test('nothing at all is compressed as well', async () => {
  for (const compression of ['gzip', 'zstd'] as const)
    assert.equal(open(compression, await all(compress(cut(Buffer.alloc(0), 1), { compression }))).length, 0);
});

test('how many threads there are does not show', async () => {
  const digests = await Promise.all(
    [1, 2, 4].map(async (threads) =>
      createHash('sha256')
        .update(await all(zstd(cut(CONTENT, MIB), 3, threads)))
        .digest('hex'),
    ),
  );
  assert.equal(new Set(digests).size, 1);
});

test('an error of the source is told, and a reader may leave', async () => {
  for (const choice of CHOICES) {
    await assert.rejects(
      all(
        compress(
          (async function* () {
            yield Buffer.alloc(MIB);
            yield Buffer.alloc(3 * MIB);
            throw new Error('the disk is broken');
          })(),
          choice,
        ),
      ),
      /the disk is broken/,
    );
    for await (const piece of compress(cut(CONTENT, MIB), choice)) if (piece.length > 0) break;
  }
});

test('what is not compressed stays', async () => {
  assert.ok((await all(compress(cut(CONTENT, MIB), { compression: 'none' }))).equals(CONTENT));
  assert.equal(compressionLevels('none'), undefined);
  assert.deepEqual(compressionLevels('zstd'), { least: 1, usual: 3, most: 19 });
});
