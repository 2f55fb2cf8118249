import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import type { WriteOptions } from '../../../src/erofs/format/options.js';
import { imageObjects } from '../../../src/erofs/read/image-objects.js';
import { readErofs } from '../../../src/erofs/read/reader.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import type { Directory } from '../../../src/tree/tree.js';
import { fixture, fixtureJson, fixtureNames, hasFixture } from '../../support/fixtures.js';

const printed = (root: Directory): string => Buffer.concat([...printDump(root)]).toString();

describe('images read back as the dumpfiles cfsctl printed', () => {
  for (const image of fixtureNames('cstor-small/images')) {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      for (const mode of ['', '-keep-user-xattrs'] as const) {
        const path = `cstor-small/images/${image}/dump${mode}.${algorithm}.txt`;
        if (!hasFixture(path)) continue;
        test(path, () => {
          const dump = fixture(path);
          for (const version of [0, 1, 2] as const) {
            const read = readErofs(writeErofs(parseDump(dump), { version, algorithm }));
            assert.equal(read.version, version);
            // Format 2 has no nanoseconds.
            const expected =
              version === 2 ? dump.toString().replace(/^((?:\S+ ){7}\d+)\.\d+/gm, '$1.0') : dump.toString();
            assert.equal(printed(read.root), expected);
          }
        });
      }
    }
    const objects = `cstor-small/images/${image}/dump.sha256.txt`;
    if (!hasFixture(objects)) continue;
    test(`objects of ${image}`, () => {
      const dump = fixture(objects);
      const ids = [...new Set(dump.toString().match(/(?<= - )[0-9a-f]{64}(?=\s)/g) ?? [])].sort();
      assert.deepEqual(imageObjects(writeErofs(parseDump(dump), { version: 1, algorithm: 'sha256' })), ids);
    });
  }
});

describe('images written again from what was read', () => {
  /** An image does not say which name owns an inode when it is not the first one. */
  const lossy = new Set([
    'hardlink-deeper-link.dump',
    'hardlink-forward.dump',
    'hardlink-same-depth-earlier-name.dump',
  ]);
  for (const name of fixtureNames('erofs/valid').map((file) => file.replace(/\.zst$/, ''))) {
    for (const version of [0, 1] as const) {
      if (lossy.has(name)) continue;
      const options: WriteOptions = {
        version,
        algorithm: name.startsWith('sha512') ? 'sha512' : 'sha256',
        writer: 'composefs',
      };
      test(`${name} as format ${version}`, () => {
        const image = writeErofs(parseDump(fixture(`erofs/valid/${name}`)), options);
        assert.ok(writeErofs(readErofs(image).root, options).equals(image));
      });
    }
  }
});

describe('images of C mkcomposefs read as cfsctl reads them', () => {
  interface Recorded {
    c: Record<'default' | 'min0-max0', { sha256: string }>;
    info_dump?: { 'rust-reads-c-default'?: string | { error: string } };
  }
  /** Where cfsctl prints what is not in the image: payloads made from digests, and xattrs dropped or left escaped. */
  const different = new Set([
    'external-digest-only',
    'external-long-payload',
    'external-odd-payload',
    'external-payload-digest-differ',
    'external-payload-no-digest',
    'xattr-overlay',
  ]);
  for (const [path, { c, info_dump }] of Object.entries(fixtureJson<Record<string, Recorded>>('erofs/digests.json'))) {
    const dumped = info_dump?.['rust-reads-c-default'];
    if (
      typeof dumped !== 'string' ||
      !path.startsWith('valid/') ||
      different.has(path.slice(6, -5)) ||
      path.includes('sha512')
    )
      continue;
    test(path, () => {
      const version = c.default.sha256 === c['min0-max0'].sha256 ? 0 : 1;
      const image = writeErofs(parseDump(fixture(`erofs/${path}`)), {
        version,
        algorithm: 'sha256',
        writer: 'composefs',
      });
      assert.equal(
        createHash('sha256')
          .update(printed(readErofs(image).root))
          .digest('hex'),
        dumped,
      );
    });
  }
});

describe('broken images', () => {
  const image = writeErofs(parseDump(fixture('erofs/valid/mixed.dump')), { version: 1, algorithm: 'sha256' });
  const nid = image.readUInt16LE(1024 + 14);
  const cases: [what: string, change: (image: Buffer) => Buffer | void, message: RegExp][] = [
    ['nothing', () => Buffer.alloc(0), /whole blocks/],
    ['cut off', (all) => all.subarray(0, all.length - 4096), /number of blocks/],
    ['longer than it says', (all) => Buffer.concat([all, Buffer.alloc(4096)]), /number of blocks/],
    ['another magic', (all) => void all.writeUInt32LE(1, 0), /no composefs image/],
    ['a later version', (all) => void all.writeUInt32LE(3, 12), /unknown composefs version 3/],
    ['compression', (all) => void all.writeUInt32LE(1, 1024 + 80), /incompatible features/],
    ['a root in the superblock', (all) => void all.writeUInt16LE(1, 1024 + 14), /root inode inside/],
    ['a wrong number of inodes', (all) => void all.writeUInt32LE(7, 1024 + 16), /inodes instead of 7/],
    ['a root that is a file', (all) => void all.writeUInt16LE(0o100644, nid * 32 + 4), /root is no directory/],
    ['an inode of unknown type', (all) => void all.writeUInt16LE(0o644, nid * 32 + 4), /unknown file type/],
    ['compressed data', (all) => void all.writeUInt16LE(3, nid * 32), /unknown inode format/],
    ['more links than names', (all) => void all.writeUInt32LE(99, nid * 32 + 44), /99 links/],
  ];
  for (const [what, change, message] of cases) {
    test(what, () => {
      const copy = Buffer.from(image);
      assert.throws(() => readErofs(change(copy) ?? copy), { code: 'EROFS_IMAGE', message });
    });
  }

  test('a directory that is its own child', () => {
    const loop = writeErofs(
      parseDump(
        Buffer.from('/ 0 40755 3 0 0 0 0.0 - - -\n/d 0 40755 3 0 0 0 0.0 - - -\n/d/e 0 40755 2 0 0 0 0.0 - - -\n'),
      ),
      {
        version: 2,
        algorithm: 'sha256',
      },
    );
    const name = loop.indexOf('...e', 1152);
    // The entries before the names are those of "." and ".." and "e"; e gets the inode of "." (its nid is the first
    // field).
    loop.copy(loop, name - 12, name - 36, name - 28);
    assert.throws(() => readErofs(loop), { code: 'EROFS_IMAGE', message: /overlaps something else.*entry "\/d"/ });
  });

  test('any changed byte either is an error of the format or reads as some tree', () => {
    const small = writeErofs(parseDump(fixture('erofs/valid/xattr-kinds.dump')), { version: 2, algorithm: 'sha256' });
    let refused = 0;
    for (let at = 0; at < small.length; at += 1) {
      for (const value of [0, 0xff, small[at]! ^ 1, small[at]! ^ 0x20]) {
        const copy = Buffer.from(small);
        copy[at] = value;
        try {
          readErofs(copy);
        } catch (error) {
          assert.ok(error instanceof FormatError, `offset ${at} value ${value}: ${String(error)}`);
          refused += 1;
        }
      }
    }
    assert.ok(refused > 500, `${refused} changes were noticed`);
  });
});
