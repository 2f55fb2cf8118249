import assert from 'node:assert/strict';
import { inflateRawSync } from 'node:zlib';
import { test } from 'node:test';
import { bytesOf } from '../../../src/bytes.js';
import { sha256 } from '../../../src/ostree/object/checksum.js';
import { encodeCommit, parseCommit } from '../../../src/ostree/object/commit.js';
import { encodeDirMeta, parseDirMeta } from '../../../src/ostree/object/dirmeta.js';
import { encodeDirTree, parseDirTree } from '../../../src/ostree/object/dirtree.js';
import {
  encodeHeader,
  encodeSizedHeader,
  HeaderReader,
  HeaderWriter,
  parseSizedHeader,
} from '../../../src/ostree/object/file-header.js';
import { NO_XATTRS } from '../../../src/tree/tree.js';
import { FormatError } from '../../../src/errors.js';
import { encodeVariant, variantOf } from '../../../src/ostree/gvariant/encode.js';
import { Variant } from '../../../src/ostree/gvariant/variant.js';
import { Random } from '../../support/random.js';

// A commit that `ostree fsck` accepts and cfsctl 0.9.4 pulls.
const DIRMETA = '446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488';
const FILE = 'afd2231b1fa521726d822282338af4736b56a2a4b3f121b5e2446458bb8c4e10';
const FILEZ = '0000001a0000000000000000000000050000000000000000000081a4000000000019cb48cdc9c90700';
const DIRTREE = '39f7e9a90add4ee1987dc6b70080e12b73914afa7aa8e5e18e385ecbee13bf57';
const COMMIT = '522fcc6c18f5a67aa845eeb6db2bc46a3ba05fb41471cf613794c5795fb9737e';

const PLAIN = { uid: 0, gid: 0, mode: 0o100644, target: '', xattrs: NO_XATTRS };

test('a commit and all in it are written as ostree does', () => {
  const dirmeta = encodeDirMeta({ uid: 0, gid: 0, mode: 0o40755, xattrs: NO_XATTRS });
  assert.equal(dirmeta.toString('hex'), '0000000000000000000041ed');
  assert.equal(sha256(dirmeta), DIRMETA);
  assert.equal(sha256(Buffer.concat([encodeHeader(PLAIN), Buffer.from('hello')])), FILE);
  const filez = Buffer.from(FILEZ, 'hex');
  assert.deepEqual(encodeSizedHeader(PLAIN, 5n), filez.subarray(0, 34));
  assert.equal(inflateRawSync(filez.subarray(34)).toString(), 'hello');
  const dirtree = encodeDirTree({ files: [{ name: 'z', id: FILE }], folders: [] });
  assert.equal(sha256(dirtree), DIRTREE);
  const commit = {
    metadata: [],
    parent: undefined,
    subject: 's',
    body: 'b',
    timestamp: 1000n,
    tree: DIRTREE,
    meta: DIRMETA,
  };
  assert.equal(sha256(encodeCommit(commit)), COMMIT);
  assert.deepEqual(parseCommit(encodeCommit(commit)), commit);
});

test('owner, mode and xattrs are in the digests, xattrs sorted', () => {
  const xattrs = new Map([
    ['user.foo\0', 'bar'],
    ['user.a\0', '1'],
  ]);
  const header = { uid: 1000, gid: 1001, mode: 0o104755, target: '', xattrs };
  assert.equal(
    sha256(Buffer.concat([encodeHeader(header), Buffer.alloc(100, 'q')])),
    'c63f2282ab132380e90985f6b940b6635b60adc14e86154fea448d225fde287e',
  );
  const meta = encodeDirMeta({ uid: 0, gid: 0, mode: 0o41777, xattrs: new Map([['user.dirx\0', 'dv']]) });
  assert.equal(sha256(meta), '4da53833da4d35490b1f2836f2e9e599622b007ad9fec65003360681b496ac0c');
  assert.deepEqual(parseDirMeta(meta).xattrs, new Map([['user.dirx\0', 'dv']]));
  assert.deepEqual(
    [...parseSizedHeader(encodeSizedHeader(header, 100n)).header.xattrs.keys()],
    ['user.a\0', 'user.foo\0'],
  );
});

test('headers of every length are what a GVariant codec makes of them', () => {
  for (const length of [0, 1, 200, 217, 218, 219, 220, 225, 226, 227, 228, 4095])
    for (const value of [undefined, 0, 100, 254, 65270, 65290, 65300, 65320, 65500]) {
      const xattrs = value === undefined ? NO_XATTRS : new Map([['user.x\0', 'v'.repeat(value)]]);
      const target = 't'.repeat(length);
      const header = { uid: 1, gid: 2, mode: length === 0 ? 0o100600 : 0o120777, target, xattrs };
      const numbers = [1, 2, header.mode, 0].map((number) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(number);
        return bytes;
      });
      const pairs = [...xattrs].map((pair) => pair.map((text) => Buffer.from(text, 'latin1')));
      const plain = encodeVariant('(uuuusa(ayay))', [...numbers, target, pairs]);
      assert.deepEqual(encodeHeader(header).subarray(8), plain);
      assert.equal(encodeHeader(header).readUInt32BE(), plain.length);
      const sized = encodeSizedHeader(header, 0n);
      assert.deepEqual(
        sized.subarray(8),
        encodeVariant('(tuuuusa(ayay))', [Buffer.alloc(8), ...numbers, target, pairs]),
      );
      assert.deepEqual(parseSizedHeader(Buffer.concat([sized, Buffer.from('x')])), {
        header,
        size: 0n,
        length: sized.length,
      });
    }
});

const ID = Buffer.alloc(32, 7);
const file = (name: string): [string, Buffer] => [name, ID];
const folder = (name: string): [string, Buffer, Buffer] => [name, ID, ID];

const BAD_TREES: readonly [what: string, files: [string, Buffer][], folders: [string, Buffer, Buffer][]][] = [
  ['..', [file('..')], []],
  ['.', [], [folder('.')]],
  ['no name', [file('')], []],
  ['a slash', [file('a/b')], []],
  ['a name that is too long', [file('n'.repeat(256))], []],
  ['unsorted files', [file('b'), file('a')], []],
  ['unsorted folders', [], [folder('b'), folder('a')]],
  ['a name twice', [file('a'), file('a')], []],
  ['a folder twice', [], [folder('a'), folder('a')]],
  ['a file and a folder of the same name', [file('a'), file('c')], [folder('b'), folder('c')]],
  ['an id of 31 bytes', [['a', ID.subarray(1)]], []],
  ['an id of no bytes', [], [['a', ID, Buffer.alloc(0)]]],
];

for (const [what, files, folders] of BAD_TREES)
  test(`a dirtree with ${what} is refused`, () =>
    assert.throws(() => parseDirTree(encodeVariant('(a(say)a(sayay))', [files, folders])), { code: 'OSTREE_OBJECT' }));

test('a dirtree with a name that is not UTF-8 is neither read nor written', () => {
  const bytes = encodeVariant('(a(say)a(sayay))', [[[Buffer.from('caf\xe9\0', 'latin1'), ID]], []]);
  assert.throws(() => parseDirTree(bytes), { code: 'OSTREE_GVARIANT' });
  assert.throws(() => encodeDirTree({ files: [{ name: 'caf\xe9', id: FILE }], folders: [] }), {
    code: 'OSTREE_OBJECT',
  });
  const name = bytesOf('café');
  assert.equal(parseDirTree(encodeDirTree({ files: [{ name, id: FILE }], folders: [] })).files[0]!.name, name);
});

const TREE = '(a(say)a(sayay))';

/** Entries as the codec of all GVariants reads them; undefined when it refuses. */
function readByCodec(bytes: Buffer): unknown {
  try {
    const [files, folders] = [...Variant.from(TREE, bytes)].map((list) =>
      Array.from(list, (entry) => [bytesOf(entry.at(0).string()), ...[...entry].slice(1).map((id) => hexOf(id.bytes))]),
    );
    return { files, folders };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function hexOf(id: Buffer): string {
  if (id.length !== 32) throw new FormatError('OSTREE_OBJECT', 'no id');
  return id.toString('hex');
}

test('dirtrees are read as the codec of all GVariants reads them, whatever bytes they are', () => {
  const random = new Random(1);
  const outcomes = { same: 0, byNames: 0, refused: 0 };
  for (let i = 0; i < 20_000; i++) {
    const names = (letter: string, most: number): string[] =>
      Array.from({ length: random.upTo(most) }, (_, n) => `${letter}${n}${'é'.repeat(random.upTo(3))}`).sort();
    const most = i % 100 === 0 ? 400 : 6;
    const bytes = encodeVariant(TREE, [names('a', most).map(file), names('b', most / 2).map(folder)]);
    for (let n = random.upTo(2); n > 0 && bytes.length > 0; n--) {
      // Most at the ends, where the offsets are.
      const at =
        random.upTo(1) === 0
          ? bytes.length - 1 - random.upTo(Math.min(8, bytes.length - 1))
          : random.upTo(bytes.length - 1);
      bytes[at] = random.upTo(3) === 0 ? 0 : bytes[at]! ^ (1 << random.upTo(7));
    }
    const given = random.upTo(20) === 0 ? bytes.subarray(0, random.upTo(bytes.length)) : bytes;
    const expected = readByCodec(given);
    let actual: unknown;
    try {
      const { files, folders } = parseDirTree(given);
      actual = {
        files: files.map(({ name, id }) => [name, id]),
        folders: folders.map(({ name, tree, meta }) => [name, tree, meta]),
      };
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      // The codec knows nothing of names.
      if (expected === undefined) outcomes.refused++;
      else if (/name|twice|comes after/.test(error.message)) outcomes.byNames++;
      else throw error;
      continue;
    }
    assert.deepEqual(actual, expected);
    outcomes.same++;
  }
  assert.ok(outcomes.same > 5000 && outcomes.refused > 1000 && outcomes.byNames > 10, JSON.stringify(outcomes));
});

const BAD_HEADERS: readonly [what: string, bytes: () => Buffer][] = [
  ['a folder', () => encodeSizedHeader({ ...PLAIN, mode: 0o40755 }, 0n)],
  ['a fifo', () => encodeSizedHeader({ ...PLAIN, mode: 0o10644 }, 0n)],
  ['no type', () => encodeSizedHeader({ ...PLAIN, mode: 0o644 }, 0n)],
  ['more bits than a mode has', () => encodeSizedHeader({ ...PLAIN, mode: 0o1100644 }, 0n)],
  ['a target in a regular file', () => encodeSizedHeader({ ...PLAIN, target: 'x' }, 0n)],
  ['a symlink to nowhere', () => encodeSizedHeader({ ...PLAIN, mode: 0o120777 }, 0n)],
  ['a symlink with content', () => encodeSizedHeader({ ...PLAIN, mode: 0o120777, target: 'x' }, 1n)],
  ['a header that is cut', () => encodeSizedHeader(PLAIN, 0n).subarray(0, 30)],
  ['a header of four gigabytes', () => Buffer.from('ffffffff00000000', 'hex')],
  ['nothing', () => Buffer.alloc(0)],
  ['a header of nothing', () => Buffer.alloc(8)],
  ['bytes between length and header', () => changed(encodeSizedHeader(PLAIN, 0n), 5)],
  ['a device number', () => changed(encodeSizedHeader(PLAIN, 0n), 31)],
  ['an offset outside', () => changed(encodeSizedHeader(PLAIN, 0n), 33)],
  ['an xattr without a name', () => encodeSizedHeader({ ...PLAIN, xattrs: new Map([['\0', 'x']]) }, 0n)],
  ['a NUL inside of a name', () => encodeSizedHeader({ ...PLAIN, xattrs: new Map([['user.\0x\0', 'x']]) }, 0n)],
];

for (const [what, bytes] of BAD_HEADERS)
  test(`a file with ${what} is refused`, () => {
    assert.throws(() => parseSizedHeader(bytes()), { code: 'OSTREE_OBJECT' });
    const reader = new HeaderReader();
    reader.read(encodeSizedHeader(PLAIN, 0n));
    assert.throws(() => reader.read(bytes()), { code: 'OSTREE_OBJECT' });
  });

test('a reader of many headers says of each what it says of one', () => {
  const reader = new HeaderReader();
  const link = { ...PLAIN, mode: 0o120777, target: 'x' };
  for (const [header, size] of [
    [PLAIN, 0n],
    [PLAIN, 2n ** 40n],
    [{ ...PLAIN, uid: 1 }, 7n],
    [link, 0n],
    [PLAIN, 7n],
    [link, 0n],
  ] as const) {
    const bytes = Buffer.concat([encodeSizedHeader(header, size), Buffer.from('content')]);
    assert.deepEqual(reader.read(bytes), parseSizedHeader(bytes));
  }
  assert.throws(() => reader.read(changed(encodeSizedHeader(link, 0n), 15)), /symlink says that it has/);
});

test('a writer of many headers writes each like one alone', () => {
  const writer = new HeaderWriter();
  const link = { ...PLAIN, mode: 0o120777, target: 'x' };
  const labelled = { ...PLAIN, xattrs: new Map([['user.name\0', 'value']]) };
  for (const size of [0, 7, 2 ** 40, 1])
    for (const header of [PLAIN, { ...PLAIN, uid: 1 }, link, labelled]) {
      const encoded = writer.encoded(header);
      assert.deepEqual(encoded.hashed, encodeHeader(header));
      assert.deepEqual(encoded.sized(size), encodeSizedHeader(header, BigInt(size)));
    }
});

test('xattrs that are not sorted, or are there twice, are refused', () => {
  for (const names of [
    ['user.b\0', 'user.a\0'],
    ['user.a\0', 'user.a\0'],
    ['user.a', 'user.a\0'],
  ]) {
    const pairs = names.map((name) => [Buffer.from(name), Buffer.from('v')]);
    const bytes = encodeVariant('(uuua(ayay))', [
      Buffer.alloc(4),
      Buffer.alloc(4),
      Buffer.from('000041ed', 'hex'),
      pairs,
    ]);
    assert.throws(() => parseDirMeta(bytes), { code: 'OSTREE_OBJECT' });
  }
});

for (const mode of [0o100644, 0o755, 0o240755])
  test(`a dirmeta of mode 0${mode.toString(8)} is refused`, () =>
    assert.throws(() => parseDirMeta(encodeDirMeta({ uid: 0, gid: 0, mode, xattrs: NO_XATTRS })), {
      code: 'OSTREE_OBJECT',
    }));

test('commits with ids that are none are refused, and their metadata is there', () => {
  const commit = {
    metadata: [['version', variantOf('s', '41')]] as const,
    parent: COMMIT,
    subject: '',
    body: '',
    timestamp: 1n,
    tree: DIRTREE,
    meta: DIRMETA,
  };
  const read = parseCommit(encodeCommit(commit));
  assert.equal(read.metadata[0]![1].string(), '41');
  assert.equal(read.parent, COMMIT);
  for (const short of [{ tree: '' }, { meta: 'ab' }, { parent: 'abcd' }])
    assert.throws(() => parseCommit(encodeCommit({ ...commit, ...short })), { code: 'OSTREE_OBJECT' });
  assert.throws(() => parseCommit(Buffer.alloc(0)), { code: 'OSTREE_GVARIANT' });
  assert.throws(() => parseCommit(Buffer.alloc(300, 0xff)), { code: 'OSTREE_GVARIANT' });
});

function changed(bytes: Buffer, at: number): Buffer {
  bytes[at] = bytes[at]! ^ 0xff;
  return bytes;
}
