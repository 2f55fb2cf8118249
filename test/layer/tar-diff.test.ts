import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FormatError } from '../../src/errors.js';
import { tarDiffHeader, type TarDiffVersion } from '../../src/layer/tar-diff-format.js';
import { TarDiffReader, type TarDiffPiece } from '../../src/layer/tar-diff-reader.js';
import { tarDiffOperations as operations } from '../../src/layer/tar-diff-writer.js';

/** What comes out when the bytes are cut into pieces of so many. */
function readAll(bytes: Buffer, size = bytes.length, reader = new TarDiffReader(2)): TarDiffPiece[] {
  const pieces: TarDiffPiece[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(...reader.read(bytes.subarray(at, at + size)));
  reader.end();
  return pieces;
}

/** The pieces of one operation put together. */
function whole(pieces: readonly TarDiffPiece[]): unknown[] {
  const joined: unknown[] = [];
  let parts: Buffer[] = [];
  for (const piece of pieces) {
    if (!('bytes' in piece)) {
      joined.push(piece);
      continue;
    }
    assert.equal(piece.first, parts.length === 0);
    parts.push(piece.bytes);
    if (!piece.last) continue;
    joined.push([piece.kind, Buffer.concat(parts).toString('latin1')]);
    parts = [];
  }
  assert.equal(parts.length, 0);
  return joined;
}

describe('a patch', () => {
  // Bytes as the format's own description has them: code, number with seven bits to a byte, content.
  const BYTES = Buffer.from(
    '0103' +
      '612fff' +
      '04ac02' +
      '0290 4e'.replace(' ', '') +
      '0003' +
      '78797a' +
      '0302' +
      '01ff' +
      '0504' +
      '28b52ffd' +
      '0000' +
      '0300' +
      '0100' +
      '04ffffffffffffffff7f',
    'hex',
  );
  const MEANING = [
    { kind: 'open', name: 'a/\xff' },
    { kind: 'seek', position: 300 },
    { kind: 'copy', length: 10_000 },
    ['data', 'xyz'],
    ['addData', '\x01\xff'],
    ['zstdDict', '\x28\xb5\x2f\xfd'],
    ['data', ''],
    ['addData', ''],
    { kind: 'open', name: '' },
    { kind: 'seek', position: 2 ** 63 },
  ];

  for (const size of [1, 2, 3, 7, BYTES.length])
    it(`is read the same in pieces of ${size} bytes`, () => assert.deepEqual(whole(readAll(BYTES, size)), MEANING));

  it('is written as it is read', () => {
    const written = Buffer.concat([
      operations.open('a/\xff'),
      operations.seek(300),
      operations.copy(10_000),
      operations.data(3),
      Buffer.from('xyz'),
      operations.addData(2),
      Buffer.from([1, 255]),
      operations.zstdDict(4),
      Buffer.from('28b52ffd', 'hex'),
      operations.data(0),
      operations.addData(0),
      operations.open(''),
    ]);
    assert.deepEqual(written, BYTES.subarray(0, written.length));
    assert.deepEqual(whole(readAll(operations.copy(Number.MAX_SAFE_INTEGER))), [
      { kind: 'copy', length: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('says its version in eight bytes', () => {
    assert.equal(tarDiffHeader(1).toString('hex'), '7461726466310a00');
    assert.equal(tarDiffHeader(2).toString('hex'), '7461726466320a00');
  });

  const BAD: readonly [what: string, hex: string, message: RegExp, version?: TarDiffVersion][] = [
    ['an operation that there is not', '06', /operation 1 \(unknown\): there is no operation of the number 6/],
    ['a frame in version 1', '0000' + '0500', /operation 2 \(zstdDict\)/, 1],
    ['a number of eleven bytes', '00' + 'ff'.repeat(10) + '00', /operation 1 \(data\): a number has more than 64 bits/],
    ['a number of 65 bits', '02' + 'ff'.repeat(9) + '02', /operation 1 \(copy\)/],
    ['more data than there can be', '00' + 'ff'.repeat(8) + '3f', /operation 1 \(data\)/],
    ['a long name', '018127', /operation 1 \(open\): a name of 4993 bytes/],
    ['an end after the code', '0000' + '02', /operation 2 \(copy\): the patch ends/],
    ['an end in the number', '02ff', /operation 1 \(copy\): the patch ends/],
    ['an end in the content', '00036161', /operation 1 \(data\): the patch ends/],
    ['an end in the name', '010361', /operation 1 \(open\): the patch ends/],
  ];
  for (const [what, hex, message, version = 2] of BAD)
    for (const size of [1, 100])
      it(`is refused with ${what}, in pieces of ${size}`, () => {
        const reader = new TarDiffReader(version);
        assert.throws(
          () => readAll(Buffer.from(hex, 'hex'), size, reader),
          (error) =>
            error instanceof FormatError &&
            error.code === 'TAR_DIFF' &&
            message.test(`${reader.operation}: ${error.message}`),
        );
      });
});
