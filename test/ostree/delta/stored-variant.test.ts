// GVariants that stay where they are stored: the same children as of those in memory, and the same distrust.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { GVARIANT_TABLE_LIMIT } from '../../../src/limits.js';
import { MemoryRange } from '../../../src/ostree/delta/byte-range.js';
import { StoredVariant } from '../../../src/ostree/delta/stored-variant.js';
import { encodeVariant, variantOf } from '../../../src/ostree/gvariant/encode.js';
import { parseType } from '../../../src/ostree/gvariant/type.js';

const stored = (type: string, bytes: Buffer): StoredVariant =>
  new StoredVariant(parseType(type), new MemoryRange(bytes));

test('children are those that were written, whatever the width of the offsets', () => {
  for (const size of [0, 10, 300, 70_000]) {
    const long = Buffer.alloc(size, 'content');
    const entries = [
      ['first', variantOf('s', 'text')],
      ['second', variantOf('(yay)', [7, long])],
    ] as const;
    const value = stored('(a{sv}tay)', encodeVariant('(a{sv}tay)', [entries, 5n, long]));
    assert.equal(value.length, 3);
    assert.equal(value.at(0).length, 2);
    assert.equal(value.at(0).at(0).at(0).load(100).string(), 'first');
    assert.equal(value.at(0).at(0).at(1).at(0).load(100).string(), 'text');
    const inner = value.at(0).at(1).at(1).at(0);
    assert.equal(inner.type.signature, '(yay)');
    assert.deepEqual(inner.at(1).range.read(0, size), long);
    assert.equal(value.at(1).load(8).bigint(), 5n);
    assert.deepEqual(value.at(2).load(size).bytes, long);
  }
});

test('offsets that lead elsewhere are refused, and so is what is too long', () => {
  const whole = encodeVariant('(a{sv}tay)', [[['key', variantOf('s', 'text')]], 5n, Buffer.alloc(3)]);
  const damaged = Buffer.from(whole);
  damaged[damaged.length - 1] = 0xff;
  for (const [read, code] of [
    [() => stored('(a{sv}tay)', damaged).at(0), 'OSTREE_GVARIANT'],
    [() => stored('(a{sv}tay)', Buffer.alloc(0)).at(0), 'OSTREE_GVARIANT'],
    [() => stored('a{sv}', Buffer.of(1, 2, 9)).length, 'OSTREE_GVARIANT'],
    [() => stored('a{sv}', Buffer.alloc(GVARIANT_TABLE_LIMIT + 4)).length, 'OSTREE_GVARIANT'],
    [() => stored('v', Buffer.from('no type')).at(0), 'OSTREE_GVARIANT'],
    [() => stored('v', Buffer.alloc(0)).at(0), 'OSTREE_GVARIANT'],
    [() => stored('ay', Buffer.alloc(11)).load(10), 'OSTREE_DELTA'],
  ] as const)
    assert.throws(read, (error: unknown) => error instanceof FormatError && error.code === code, String(read));
});
