import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { imageReferences } from '../../../src/erofs/read/image-references.js';
import { imageObjects } from '../../../src/erofs/read/image-objects.js';
import { readErofs } from '../../../src/erofs/read/reader.js';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { fixture, fixtureNames } from '../../support/fixtures.js';
import { generator } from '../../support/faults/kills.js';

const dumps = fixtureNames('erofs/valid')
  .map((file) => file.replace(/\.zst$/, ''))
  .filter((name) => name.endsWith('.dump'));

for (const name of dumps) {
  const algorithm = name.startsWith('sha512') ? 'sha512' : 'sha256';
  for (const version of [0, 1, 2] as const) {
    // Format 2 holds less inside, and knows objects only.
    if (version === 2 && /-over-|^external-/.test(name)) continue;
    test(`${name} as format ${version} leads where its tree leads`, () => {
      const image = writeErofs(parseDump(fixture(`erofs/valid/${name}`)), {
        version,
        algorithm,
        ...(version !== 2 && { writer: 'composefs' as const }),
      });
      const { digests, others } = references(image, algorithm === 'sha512' ? 64 : 32);
      assert.deepEqual([...new Set([...digests, ...others])].sort(), imageObjects(image));
      const otherSize = references(image, algorithm === 'sha512' ? 32 : 64);
      assert.equal(otherSize.digests.length, 0);
      assert.deepEqual([...new Set(otherSize.others)].sort(), imageObjects(image));
    });
  }
}

test('of an image with many files, all that they lead to is there', () => {
  const ids = Array.from({ length: 40_000 }, (_, index) => createHash('sha256').update(String(index)).digest('hex'));
  const lines = ids.map((id, index) => `/f${index} 100 100644 1 0 0 0 0.0 ${id.slice(0, 2)}/${id.slice(2)} - ${id}\n`);
  const image = writeErofs(parseDump(Buffer.from(`/ 4096 40755 2 0 0 0 0.0 - - -\n${lines.join('')}`)), {
    version: 1,
    algorithm: 'sha256',
  });
  const { digests, others, parts } = references(image, 32);
  assert.ok(parts > 2 && others.length === 0);
  assert.deepEqual(digests.sort(), ids.sort());
});

test('damaged images are refused or read, and what the tree reader accepts is accepted', () => {
  const sound = writeErofs(parseDump(fixture('erofs/valid/mixed.dump')), { version: 1, algorithm: 'sha256' });
  const random = generator(Number(process.env['CFSBRIDGE_SEED'] ?? 7));
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const image = Buffer.from(sound);
    for (let change = 0; change < 3; change++) image[Math.floor(random() * image.length)] = Math.floor(random() * 256);
    const ours = attempt(() => references(image, 32));
    const theirs = attempt(() => readErofs(image));
    if (ours === undefined) refused++;
    if (theirs !== undefined) assert.ok(ours !== undefined, `round ${round}: refused what the tree reader accepts`);
  }
  assert.ok(refused > 100, `${refused} refused`);
});

function references(image: Buffer, size: number): { digests: string[]; others: string[]; parts: number } {
  const digests: string[] = [];
  let parts = 0;
  const others = imageReferences(image, size, (part) => {
    parts++;
    for (let at = 0; at < part.length; at += size) digests.push(part.toString('hex', at, at + size));
  });
  return { digests, others, parts };
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
