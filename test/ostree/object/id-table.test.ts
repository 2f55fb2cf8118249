import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ID_SIZE } from '../../../src/ostree/object/checksum.js';
import { IdTable } from '../../../src/ostree/object/id-table.js';
import { noise } from '../../support/random.js';

const COUNT = 5000;

test('ids get numbers in the order in which they come, the same ones again', () => {
  const table = new IdTable();
  const ids = noise(COUNT * ID_SIZE, 'ids');
  for (let number = 0; number < COUNT; number++) {
    assert.equal(table.find(ids, number * ID_SIZE), undefined);
    assert.equal(table.add(ids, number * ID_SIZE), number);
  }
  for (let number = 0; number < COUNT; number++) {
    assert.equal(table.add(ids, number * ID_SIZE), number);
    assert.equal(table.find(ids, number * ID_SIZE), number);
  }
  assert.equal(table.count, COUNT);
  assert.deepEqual(table.bytes, ids);
  assert.equal(table.checksum(17), ids.toString('hex', 17 * ID_SIZE, 18 * ID_SIZE));
});

test('ids that differ in one bit are others', () => {
  const table = new IdTable();
  const id = noise(ID_SIZE, 'id');
  table.add(id, 0);
  for (let bit = 0; bit < 8 * ID_SIZE; bit++) {
    const other = Buffer.from(id);
    other[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(table.find(other, 0), undefined);
    assert.equal(table.add(other, 0), bit + 1);
  }
  assert.equal(table.find(id, 0), 0);
});

test('ids that somebody has chosen to be alike take no longer', () => {
  const timeOf = (idOf: (number: number) => Buffer): number => {
    const ids = Buffer.concat(Array.from({ length: 40_000 }, (_, number) => idOf(number)));
    const table = new IdTable();
    const began = performance.now();
    for (let at = 0; at < ids.length; at += ID_SIZE) table.add(ids, at);
    assert.equal(table.count, 40_000);
    return performance.now() - began;
  };
  const random = noise(40_000 * ID_SIZE, 'many');
  const plain = timeOf((number) => random.subarray(number * ID_SIZE, (number + 1) * ID_SIZE));
  const alike = timeOf((number) => {
    const id = Buffer.alloc(ID_SIZE);
    id.writeUInt32LE(number, 4 * (number % 8));
    return id;
  });
  // With one chain of all it would be thousands of times as long.
  assert.ok(alike < 20 * plain + 50, `${alike} ms instead of ${plain} ms`);
});
