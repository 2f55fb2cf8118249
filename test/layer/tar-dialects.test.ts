import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FormatError } from '../../src/errors.js';
import { Fd } from '../../src/fd/fd.js';
import type { TarEntry } from '../../src/layer/entry.js';
import { TarScanner } from '../../src/layer/tar-scanner.js';
import { END, extension, header, padded, pax, paxRecord } from '../support/layers/make-tar.js';
import { Recorder } from './recorder.js';

function scan(...parts: Buffer[]): Recorder {
  const tar = Buffer.concat(parts);
  const recorder = new Recorder();
  const scanner = new TarScanner(recorder);
  scanner.bytes(tar);
  scanner.end();
  return recorder;
}

const base256 = (length: number, value: bigint): Buffer => {
  const bits = BigInt.asUintN(8 * length, value) | (1n << BigInt(8 * length - 1));
  return Buffer.from(bits.toString(16).padStart(2 * length, '0'), 'hex');
};

describe('one tar entry', () => {
  const cases: [what: string, parts: Buffer[], expected: Partial<TarEntry>][] = [
    ['ustar prefix', [header({ prefix: 'a/b', name: 'c' })], { path: 'a/b/c' }],
    [
      'GNU headers have times where ustar has its prefix',
      [header({ magic: 'ustar  \0', prefix: '14524770400', name: 'c' })],
      { path: 'c' },
    ],
    ['V7 headers have no prefix', [header({ magic: '', prefix: 'x', name: 'c' })], { path: 'c' }],
    [
      'names that fill their fields',
      [header({ prefix: 'p'.repeat(155), name: 'n'.repeat(100) })],
      { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` },
    ],
    ['names that are not UTF-8', [header({ name: 'caf\xe9' })], { path: 'caf\xe9' }],
    [
      'PAX names that are not UTF-8',
      [pax({ path: '\xff\xfe', 'SCHILY.xattr.user.\xe9': '\x80\0=\n' }), header()],
      { path: '\xff\xfe', xattrs: new Map([['user.\xe9', '\x80\0=\n']]) },
    ],
    ['V7 directory', [header({ magic: '', type: '\0', name: 'd/' })], { path: 'd/', type: 'directory' }],
    ['file with a slash', [header({ name: 'd/' })], { path: 'd/', type: 'file' }],
    ['contiguous file', [header({ type: '7' })], { type: 'file' }],
    [
      'device',
      [header({ type: '3', major: 4095, minor: base256(8, 1048575n) })],
      { type: 'char', devMajor: 4095, devMinor: 1048575 },
    ],
    ['device numbers of other types', [header({ major: 'junk', minor: 7 })], { devMajor: 0, devMinor: 0 }],
    ['mode with type bits', [header({ mode: 0o104755 })], { mode: 0o4755 }],
    [
      'numbers with blanks',
      [header({ uid: '   12 ', gid: ' 7\0junk', mtime: '           ' })],
      { uid: 10, gid: 7, mtimeSec: 0n },
    ],
    ['base-256 id', [header({ uid: base256(8, 0xffff_ffffn) })], { uid: 0xffff_ffff }],
    ['time of 2106', [header({ mtime: '77777777777 ' })], { mtimeSec: 0o77777777777n }],
    ['base-256 time before 1970', [header({ mtime: base256(12, -86400n) })], { mtimeSec: -86400n }],
    ['base-256 time far away', [header({ mtime: base256(12, (1n << 63n) - 1n) })], { mtimeSec: (1n << 63n) - 1n }],
    [
      'PAX time',
      [pax({ mtime: '1700000000.123456789123' }), header()],
      { mtimeSec: 1700000000n, mtimeNsec: 123456789 },
    ],
    ['PAX time with a short fraction', [pax({ mtime: '5.1' }), header()], { mtimeSec: 5n, mtimeNsec: 100000000 }],
    ['PAX time without fraction', [pax({ mtime: '5.' }), header({ mtime: 9 })], { mtimeSec: 5n, mtimeNsec: 0 }],
    ['PAX time of access', [pax({ atime: '-0.5' }), header()], { atime: { sec: -1n, nsec: 500_000_000 } }],
    [
      'GNU time of access',
      [header({ magic: 'ustar  \0', prefix: '00000001234' })],
      { atime: { sec: 0o1234n, nsec: 0 }, path: 'file' },
    ],
    ['PAX time before 1970', [pax({ mtime: '-1.25' }), header()], { mtimeSec: -2n, mtimeNsec: 750000000 }],
    ['PAX whole second before 1970', [pax({ mtime: '-3' }), header()], { mtimeSec: -3n, mtimeNsec: 0 }],
    [
      'PAX ids',
      [pax({ uid: '4294967295', gid: '2147483648' }), header({ uid: 1 })],
      { uid: 4294967295, gid: 2147483648 },
    ],
    [
      'last PAX record of a key',
      [extension('x', paxRecord('path', 'first') + paxRecord('path', 'second')), header()],
      { path: 'second' },
    ],
    [
      'empty PAX value',
      [extension('x', paxRecord('path', 'first') + paxRecord('path', '')), header({ name: 'own' })],
      { path: 'own' },
    ],
    ['empty PAX header', [extension('x', ''), header({ name: 'own' })], { path: 'own' }],
    [
      'unknown PAX keys',
      [pax({ 'VENDOR.x': 'y', comment: '=\n=', 'LIBARCHIVE.xattr.user.a': 'eA' }), header()],
      { path: 'file' },
    ],
    [
      'GNU long names',
      [extension('L', 'long/name\0'), extension('K', 'long/target\0'), header({ type: '2', name: 'cut', link: 'cut' })],
      { path: 'long/name', linkPath: 'long/target' },
    ],
    [
      'PAX names win over GNU ones',
      [extension('L', 'gnu\0'), pax({ path: 'pax' }), header({ name: 'own' })],
      { path: 'pax' },
    ],
    [
      'the entry begins with its first record',
      [header(), extension('K', 'to\0'), pax({ path: 'p' }), header({ type: '1' })],
      { offset: 512, path: 'p', linkPath: 'to' },
    ],
    [
      'global headers mean nothing',
      [extension('g', paxRecord('path', 'global')), header()],
      { path: 'file', offset: 1024 },
    ],
    ['checksum over signed bytes', [signedChecksum(header({ name: '\xe9\xe8' }))], { path: '\xe9\xe8' }],
  ];
  for (const [what, parts, expected] of cases) {
    it(what, () => {
      const entry = scan(...parts, END).entries.at(-1)!;
      const actual = Object.fromEntries(Object.keys(expected).map((key) => [key, entry[key as keyof TarEntry]]));
      assert.deepEqual(actual, expected);
    });
  }
});

function signedChecksum(block: Buffer): Buffer {
  const sum = parseInt(block.toString('latin1', 148, 154), 8) - 2 * 256;
  block.write(sum.toString(8).padStart(6, '0'), 148, 'latin1');
  return block;
}

describe('a size in the header of what has no content counts for nothing, as for Go', () => {
  const cases: [what: string, tar: Buffer[]][] = [
    ['a folder', [header({ type: '5', size: 512 })]],
    ['a folder of V7', [header({ name: 'old/', type: '\0', magic: '', size: 512 })]],
    ['a symlink', [header({ type: '2', link: 'a', size: 512 })]],
    ['a hard link', [header({ type: '1', link: 'a', size: 5000 })]],
    ['a hard link, said by a record', [pax({ size: '512' }), header({ type: '1', link: 'a' })]],
    ['a device', [header({ type: '3', size: 512 })]],
    ['a fifo', [header({ type: '6', size: 512 })]],
  ];
  for (const [what, tar] of cases) {
    it(what, () => {
      const { entries } = scan(...tar, header({ name: 'next', size: 3 }), padded(Buffer.from('abc')), END);
      assert.deepEqual(entries.map(({ path, size }) => [path, size]).at(-1), ['next', 3]);
      assert.deepEqual([entries.length, entries[0]?.size], [2, 0]);
    });
  }
});

describe('the end of a tar', () => {
  const file = Buffer.concat([header({ size: 3 }), padded(Buffer.from('abc'))]);
  const cases: [what: string, tar: Buffer[]][] = [
    ['none', []],
    ['no marker', [file]],
    ['no marker after an empty file', [header()]],
    ['one block of zeros', [file, Buffer.alloc(512)]],
    ['only zeros', [Buffer.alloc(10240)]],
    ['bytes after the marker that look like an entry', [file, END, header({ name: 'hidden' })]],
    ['bytes after the marker that are no block', [file, END, Buffer.from('trailing')]],
  ];
  for (const [what, tar] of cases) {
    it(`${what}`, () => {
      const recorder = scan(...tar);
      assert.deepEqual(
        recorder.entries.map(({ path }) => path),
        tar[0]?.[0] === 0x66 ? ['file'] : [],
      );
      assert.deepEqual(Buffer.concat(recorder.finish().chunks as Buffer[]), Buffer.concat(tar));
    });
  }
});

describe('a tar is refused for', () => {
  const big = header({ size: 5000 });
  const cases: [what: string, tar: Buffer[], code: string, offset?: number][] = [
    ['a wrong checksum', [header(), Buffer.from(header()).fill('x', 0, 1)], 'TAR_CHECKSUM', 512],
    ['text', [Buffer.alloc(512, 'text ')], 'TAR_CHECKSUM', 0],
    ['a cut header', [header().subarray(0, 511)], 'TAR_TRUNCATED', 511],
    ['cut content', [big, Buffer.alloc(4999)], 'TAR_TRUNCATED', 5511],
    ['missing padding', [big, Buffer.alloc(5000)], 'TAR_TRUNCATED', 5512],
    ['cut small content', [header({ size: 3 }), Buffer.from('ab')], 'TAR_TRUNCATED', 514],
    ['a record without its entry', [pax({ path: 'x' })], 'TAR_EXTENSION'],
    ['a record before the end', [pax({ path: 'x' }), END], 'TAR_EXTENSION'],
    ['a cut record', [pax({ path: 'x' }).subarray(0, 515)], 'TAR_TRUNCATED'],
    ['a zero block between entries', [header(), Buffer.alloc(512), header()], 'TAR_ZERO_BLOCK', 1024],
    ['two records of one kind', [extension('L', 'a\0'), extension('L', 'b\0'), header()], 'TAR_EXTENSION', 1024],
    ['a global header after a record', [pax({ path: 'x' }), extension('g', ''), header()], 'TAR_EXTENSION', 1024],
    ['records of more than 1 MiB', [header({ type: 'x', size: 1048577 })], 'TAR_EXTENSION', 0],
    [
      'records of more than 1 MiB together',
      [extension('L', 'n'.repeat(600000)), header({ type: 'K', size: 600000 })],
      'TAR_EXTENSION',
    ],
    ['a global header of more than 1 MiB', [header({ type: 'g', size: 1048577 })], 'TAR_EXTENSION', 0],
    ['an empty name', [header({ name: '' })], 'TAR_NAME', 0],
    ['an empty GNU name', [extension('L', '\0'), header()], 'TAR_NAME', 0],
    ['a symlink to nothing', [header({ type: '2' })], 'TAR_ENTRY', 0],
    ['a hard link to nothing', [header({ type: '1' })], 'TAR_ENTRY', 0],
    ['GNU sparse files', [header({ type: 'S', magic: 'ustar  \0' })], 'TAR_SPARSE', 0],
    ['PAX sparse files', [pax({ 'GNU.sparse.major': '1' }), header()], 'TAR_SPARSE', 512],
    ['volume labels', [header({ type: 'V' })], 'TAR_TYPE', 0],
    ['extension types in a V7 header', [header({ type: 'x', magic: '', size: 0 })], 'TAR_TYPE', 0],
    ['a size that is no number', [header({ size: '12345678x' })], 'TAR_NUMBER', 0],
    ['a negative size', [header({ size: base256(12, -1n) })], 'TAR_NUMBER', 0],
    ['a size beyond 53 bits', [header({ size: base256(12, 1n << 53n) })], 'TAR_NUMBER', 0],
    ['a size that makes offsets leave 53 bits', [header({ size: base256(12, (1n << 53n) - 1n) })], 'TAR_NUMBER', 0],
    ['a PAX size beyond 53 bits', [pax({ size: '9007199254740992' }), header()], 'TAR_PAX', 512],
    ['a negative PAX size', [pax({ size: '-1' }), header()], 'TAR_PAX', 512],
    ['a negative uid', [header({ uid: base256(8, -2n) })], 'TAR_NUMBER', 0],
    ['a uid of 33 bits', [header({ uid: base256(8, 1n << 32n) })], 'TAR_NUMBER', 0],
    ['a PAX gid of 33 bits', [pax({ gid: '4294967296' }), header()], 'TAR_ENTRY', 0],
    ['a time beyond 64 bits', [header({ mtime: base256(12, 1n << 63n) })], 'TAR_ENTRY', 0],
    ['a time that is no number', [header({ mtime: '9' })], 'TAR_ENTRY', 0],
    ['a PAX time with an exponent', [pax({ mtime: '1e9' }), header()], 'TAR_PAX', 512],
    ['a PAX time of many digits', [pax({ mtime: '1'.repeat(100000) }), header()], 'TAR_PAX', 512],
    ['a PAX time without seconds', [pax({ mtime: '.5' }), header()], 'TAR_PAX', 512],
    ['a name with NUL', [pax({ path: 'a\0b' }), header()], 'TAR_PAX', 512],
    ['an xattr name with NUL', [pax({ 'SCHILY.xattr.user.a\0b': 'v' }), header()], 'TAR_PAX', 512],
    ['a record without length', [extension('x', 'path=x\n'), header()], 'TAR_PAX', 512],
    ['a record of length 0', [extension('x', '0 path=x\n'), header()], 'TAR_PAX', 512],
    ['a record that is only its length', [extension('x', '2 path=x\n'), header()], 'TAR_PAX', 512],
    ['a record longer than its header', [extension('x', '99 path=x\n'), header()], 'TAR_PAX', 512],
    ['a record without newline', [extension('x', '9 path=xy'), header()], 'TAR_PAX', 512],
    ['a record without key', [extension('x', '5 =x\n'), header()], 'TAR_PAX', 512],
    ['a record without value', [extension('x', '7 path\n'), header()], 'TAR_PAX', 512],
    [
      'a record whose length has many digits',
      [extension('x', '00000000000000000010 path=x\n'), header()],
      'TAR_PAX',
      512,
    ],
    ['records that end in padding', [extension('x', `${paxRecord('path', 'x')}\0\0`), header()], 'TAR_PAX', 521],
  ];
  for (const [what, tar, code, offset] of cases) {
    it(what, () => {
      assert.throws(
        () => scan(...tar),
        (error: unknown) => {
          assert.ok(error instanceof FormatError, String(error));
          assert.equal(error.code, code);
          if (offset !== undefined) assert.equal(error.place.offset, offset);
          return true;
        },
      );
    });
  }
});

describe('content by reference', () => {
  const open = (size: number): { kind: 'fd'; fd: Fd; size: number } => ({
    kind: 'fd',
    fd: new Fd(1).duplicate(),
    size,
  });
  const cases: [what: string, before: Buffer[], size: number, message: RegExp][] = [
    ['at the start', [], 5000, /no place/],
    ['inside a header', [header({ size: 5000 }).subarray(0, 100)], 5000, /no place/],
    ['inside content', [header({ size: 5000 }), Buffer.alloc(1)], 5000, /no place/],
    ['inside small content', [header({ size: 5 }), Buffer.alloc(1)], 5, /no place/],
    ['inside padding', [header({ size: 5000 }), Buffer.alloc(5001)], 5000, /no place/],
    ['for a directory', [header({ type: '5' })], 5000, /no place/],
    ['for an empty file', [header()], 0, /no place/],
    ['after the end', [END], 5000, /no place/],
    ['of another size', [header({ size: 5000 })], 4999, /announces 5000 bytes, the file that comes for it has 4999/],
    ['of another small size', [header({ size: 5 })], 6, /announces 5 bytes/],
  ];
  for (const [what, before, size, message] of cases) {
    it(`is refused ${what}, and closed`, () => {
      const scanner = new TarScanner(new Recorder());
      for (const part of before) scanner.bytes(part);
      const chunk = open(size);
      assert.throws(
        () => scanner.reference(chunk),
        (error: unknown) => {
          assert.ok(error instanceof FormatError);
          assert.equal(error.code, 'TAR_REFERENCE');
          assert.match(error.message, message);
          return true;
        },
      );
      assert.ok(chunk.fd.closed);
    });
  }
});
