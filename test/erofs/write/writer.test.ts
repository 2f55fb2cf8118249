import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { formatVersionFor } from '../../../src/erofs/format/version.js';
import type { WriteOptions } from '../../../src/erofs/format/options.js';
import { writeErofs, writeErofsPieces } from '../../../src/erofs/write/writer.js';
import { Directory, Regular, Symlink, type Node } from '../../../src/tree/tree.js';
import { fixture, fixtureJson } from '../../support/fixtures.js';

type Outcome = { sha256: string } | { error: string };

interface Recorded {
  c: Record<'default' | 'min0-max0' | 'min1-max1', Outcome>;
  rust_library: Record<string, Outcome>;
}

const recorded = fixtureJson<Record<string, Recorded>>('erofs/digests.json');

/** What C takes and this does not: it reads memory nobody set, or makes a tree that is none. */
const REFUSED = new Set(['edge/bad-digest.dump', 'edge/hardlink-to-dir.dump']);

function imageHash(dump: Buffer, options: WriteOptions): string {
  return createHash('sha256')
    .update(writeErofs(parseDump(dump), options))
    .digest('hex');
}

describe('images of dumpfiles, as C mkcomposefs writes them', () => {
  for (const [path, { c }] of Object.entries(recorded)) {
    // C knows no sha512 and cuts such digests.
    if (path.includes('sha512')) continue;
    for (const version of [0, 1] as const) {
      const outcome = c[version === 0 ? 'min0-max0' : 'min1-max1'];
      const options = { version, algorithm: 'sha256', writer: 'composefs' } as const;
      test(`${path} as format ${version}`, () => {
        if ('error' in outcome || REFUSED.has(path)) {
          assert.throws(() => parseDump(fixture(`erofs/${path}`)), { name: FormatError.name, code: 'DUMPFILE' });
        } else {
          assert.equal(imageHash(fixture(`erofs/${path}`), options), outcome.sha256);
        }
      });
    }
  }
});

describe('the format C mkcomposefs chooses', () => {
  for (const [path, { c }] of Object.entries(recorded)) {
    if ('error' in c.default || path.includes('sha512') || REFUSED.has(path)) continue;
    const { sha256 } = c.default;
    test(path, () => {
      const root = parseDump(fixture(`erofs/${path}`));
      const image = writeErofs(root, {
        version: formatVersionFor(root, 0, 1),
        algorithm: 'sha256',
        writer: 'composefs',
      });
      assert.equal(createHash('sha256').update(image).digest('hex'), sha256);
    });
  }
});

describe('images of dumpfiles, as composefs-rs writes them', () => {
  for (const [path, { c, rust_library }] of Object.entries(recorded)) {
    if ('error' in c['min1-max1'] && !path.includes('sha512')) continue;
    for (const [how, outcome] of Object.entries(rust_library)) {
      if ('error' in outcome) continue;
      const [algorithm, version] = how.split('-v') as ['sha256' | 'sha512', string];
      test(`${path} as ${how}`, () => {
        const options = { version: Number(version) as 0 | 1 | 2, algorithm };
        assert.equal(imageHash(fixture(`erofs/${path}`), options), outcome.sha256);
        for (const size of [1, 1500, 2 * 4096]) {
          const { length, pieces } = writeErofsPieces(parseDump(fixture(`erofs/${path}`)), options, size);
          const hash = createHash('sha256');
          let sum = 0;
          for (const piece of pieces) {
            hash.update(piece);
            sum += piece.length;
            piece.fill(0xa5);
          }
          assert.equal(sum, length);
          assert.equal(hash.digest('hex'), outcome.sha256, `in pieces of ${size} bytes`);
        }
      });
    }
  }
});

describe('what no image can hold', () => {
  const root = ['/', '/d', '/d/e', '/d/f'].map((path) => `${path} 0 40755 2 0 0 0 0.0 - - -\n`).join('');
  const cases: [what: string, line: string, code: string, version: 0 | 1 | 2][] = [
    ['a file of more than 2^53 bytes', '/d/e/a 9007199254740993 100644 1 0 0 0 0.0 - - -', 'EROFS_CONTENT', 0],
    [
      'more than 512 bytes inline in format 2',
      `/d/e/a 513 100644 1 0 0 0 0.0 - ${'x'.repeat(513)} -`,
      'EROFS_CONTENT',
      2,
    ],
    [
      'a symlink of more than 1024 bytes in format 2',
      `/d/e/a 1025 120777 1 0 0 0 0.0 ${'x'.repeat(1025)} - -`,
      'EROFS_CONTENT',
      2,
    ],
    ['an id of the other algorithm', `/d/e/a 9 100644 1 0 0 0 0.0 ab - ${'ab'.repeat(64)}`, 'EROFS_OBJECT_ID', 1],
    ['a path that is no object, for composefs-rs', '/d/e/a 9 100644 1 0 0 0 0.0 somewhere - -', 'EROFS_OBJECT_ID', 1],
  ];
  for (const [what, line, code, version] of cases) {
    test(what, () => {
      assert.throws(() => writeErofs(parseDump(Buffer.from(`${root}${line}\n`)), { version, algorithm: 'sha256' }), {
        code,
        message: / \(entry "\/d\/e\/a"\)$/,
      });
    });
  }

  const metadata = parseDump(Buffer.from(root));
  const empty = new Regular(metadata, { kind: 'empty' });
  const trees: [what: string, name: string, node: Node, code: string][] = [
    ...['', '.', '..', 'a/b', 'a\0', 'x'.repeat(256), '\u4e00'].map((name): [string, string, Node, string] => [
      `the name ${JSON.stringify(name)}`,
      name,
      empty,
      'EROFS_NAME',
    ]),
    ...['', 'a\0', '\u4e00'].map((target): [string, string, Node, string] => [
      `the target ${JSON.stringify(target)}`,
      'a',
      new Symlink(metadata, target),
      'EROFS_CONTENT',
    ]),
    ...['g0', '0g', '\u4e000', '0\u4e00'].map((end): [string, string, Node, string] => [
      `the object id that ends with ${JSON.stringify(end)}`,
      'a',
      new Regular(metadata, { kind: 'object', id: 'a'.repeat(62) + end, size: 9n }),
      'EROFS_OBJECT_ID',
    ]),
    ...[
      ['', 'x'],
      ['user.a', '\u4e00'],
      ['user.\0', 'x'],
    ].map(([key, value]): [string, string, Node, string] => {
      return [
        `the xattr ${JSON.stringify([key, value])}`,
        'a',
        new Regular({ ...metadata, xattrs: new Map([[key!, value!]]) }, { kind: 'empty' }),
        'EROFS_XATTR',
      ];
    }),
  ];
  for (const [what, name, node, code] of trees) {
    test(what, () => {
      const tree = new Directory(metadata);
      tree.entries.set(name, node);
      for (const version of [1, 2] as const)
        assert.throws(() => writeErofs(tree, { version, algorithm: 'sha256' }), { code });
    });
  }

  test('formats and algorithms that there are not', () => {
    assert.throws(() => writeErofs(metadata, { version: 3 as 2, algorithm: 'sha256' }), /no format 3/);
    assert.throws(
      () => writeErofs(metadata, { version: 1, algorithm: 'md5' as 'sha256' }),
      /unknown digest algorithm 'md5'/,
    );
  });

  test('a path to content that an xattr cannot hold', () => {
    const tree = parseDump(Buffer.from(root));
    const content = { kind: 'external', size: 1n, payload: 'p'.repeat(65535), digest: undefined } as const;
    tree.entries.set('a', new Regular(tree, content));
    assert.throws(() => writeErofs(tree, { version: 1, algorithm: 'sha256', writer: 'composefs' }), {
      code: 'EROFS_XATTR',
      message: /65536 of value \(entry "\/a"\)$/,
    });
  });
});
