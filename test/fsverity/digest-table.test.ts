import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DigestTable } from '../../src/fsverity/digest-table.js';
import { noise } from '../support/random.js';

const COUNT = 5000;
const SIZES = [32, 64];

for (const size of SIZES) {
  test(`digests of ${size} bytes get numbers in the order in which they come, the same ones again`, () => {
    const table = new DigestTable(size);
    const digests = noise(COUNT * size, 'digests');
    for (let number = 0; number < COUNT; number++) {
      assert.equal(table.find(digests, number * size), undefined);
      assert.equal(table.add(digests, number * size), number);
    }
    for (let number = 0; number < COUNT; number++) {
      assert.equal(table.add(digests, number * size), number);
      assert.equal(table.find(digests, number * size), number);
    }
    assert.equal(table.count, COUNT);
    assert.deepEqual(table.bytes, digests);
    assert.equal(table.digits(17), digests.toString('hex', 17 * size, 18 * size));
  });

  test(`digests of ${size} bytes that differ in one bit are others`, () => {
    const table = new DigestTable(size);
    const digest = noise(size, 'digest');
    table.add(digest, 0);
    for (let bit = 0; bit < 8 * size; bit++) {
      const other = Buffer.from(digest);
      other[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(table.find(other, 0), undefined);
      assert.equal(table.add(other, 0), bit + 1);
    }
    assert.equal(table.find(digest, 0), 0);
  });

  test(`digests of ${size} bytes that somebody has chosen to be alike take no longer`, () => {
    const timeOf = (digestOf: (number: number) => Buffer): number => {
      const digests = Buffer.concat(Array.from({ length: 40_000 }, (_, number) => digestOf(number)));
      const table = new DigestTable(size);
      const began = performance.now();
      for (let at = 0; at < digests.length; at += size) table.add(digests, at);
      assert.equal(table.count, 40_000);
      return performance.now() - began;
    };
    const random = noise(40_000 * size, 'many');
    const plain = timeOf((number) => random.subarray(number * size, (number + 1) * size));
    const alike = timeOf((number) => {
      const digest = Buffer.alloc(size);
      digest.writeUInt32LE(number, 4 * (number % (size / 4)));
      return digest;
    });
    // With one chain of all it would be thousands of times as long.
    assert.ok(alike < 20 * plain + 50, `${alike} ms instead of ${plain} ms`);
  });
}
