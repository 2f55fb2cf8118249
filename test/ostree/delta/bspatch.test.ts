import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRange } from '../../../src/ostree/delta/byte-range.js';
import { patched } from '../../../src/ostree/delta/bspatch.js';

function record(add: bigint, copy: bigint, seek: bigint, ...bytes: number[]): Buffer {
  const head = Buffer.alloc(24);
  [add, copy, seek].forEach((value, i) => {
    head.writeBigUInt64LE(value < 0n ? -value | (1n << 63n) : value, 8 * i);
  });
  return Buffer.concat([head, Buffer.from(bytes)]);
}

function patch(old: string, ...records: Buffer[]): string {
  return Buffer.concat([
    ...patched(new MemoryRange(Buffer.from(old)), new MemoryRange(Buffer.concat(records))),
  ]).toString('latin1');
}

test('bytes are added to the old file, copied, and the place in it moves on and back', () => {
  assert.equal(patch('abcdef', record(2n, 1n, 2n, 0, 1, 0x78), record(2n, 0n, 0n, 0, 0)), 'acxef');
  assert.equal(patch('abcdef', record(3n, 0n, -3n, 0, 0, 0), record(3n, 0n, 0n, 1, 255, 0)), 'abcbac');
  assert.equal(patch('abc'), '');
});

test('outside of the old file there are zeros', () => {
  assert.equal(patch('ab', record(1n, 0n, -3n, 0), record(5n, 0n, 0n, 0x30, 0x30, 0, 0, 0x31)), 'a00ab1');
});

test('patches longer than a piece come in pieces', () => {
  const old = Buffer.alloc(1 << 20, 7);
  const bytes = Buffer.concat([record(1n << 20n, 1n << 20n, 0n), Buffer.alloc(2 << 20, 1)]);
  const pieces = [...patched(new MemoryRange(old), new MemoryRange(bytes))];
  assert.ok(pieces.length >= 8);
  assert.deepEqual(Buffer.concat(pieces), Buffer.concat([Buffer.alloc(1 << 20, 8), Buffer.alloc(1 << 20, 1)]));
});

for (const [what, bytes] of [
  ['ends in its numbers', Buffer.alloc(20)],
  ['ends in its bytes', record(5n, 0n, 0n, 1, 2)],
  ['has a negative length', record(-1n, 0n, 0n)],
  ['has a negative length to copy', record(0n, -1n, 0n)],
  ['goes where no file is', record(0n, 0n, (1n << 62n) - 1n)],
] as const)
  test(`a patch that ${what} is refused`, () =>
    assert.throws(() => patch('abc', Buffer.from(bytes)), { code: 'OSTREE_DELTA' }));
