import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { errorOf } from '../../../src/repository/fsck/findings.js';
import { checkObjects, listObjectNames, ObjectNames } from '../../../src/repository/fsck/objects.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath, type Algorithm } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { generator } from '../../support/faults/kills.js';
import { referenceVerity } from '../../support/reference-verity.js';

const MIB = 1 << 20;
/** Around every limit of how objects are read: side by side, as a stream, in pieces that threads share. */
const SIZES = [
  0,
  1,
  4096,
  4097,
  128 * 1024 - 1,
  128 * 1024,
  128 * 1024 + 1,
  300_000,
  8 * MIB,
  8 * MIB + 1,
  12 * MIB,
  12 * MIB + 4096,
  13 * MIB - 7,
];

for (const algorithm of ['sha256', 'sha512'] as Algorithm[]) {
  test(`objects of all sizes are read and found right or wrong (${algorithm})`, async (t) => {
    const path = mkdtempSync(join(tmpdir(), 'fsck-objects-'));
    t.after(() => rmSync(path, { recursive: true }));
    initRepository(path, { algorithm, insecure: true });
    const ids = SIZES.map((size) => {
      const content = Buffer.alloc(size, `content of ${size} bytes `);
      const id = referenceVerity(content, algorithm);
      const file = join(path, 'objects', objectPath(id));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      return id;
    });
    using repository = await Repository.open(path);
    const sound = await checkObjects(repository, await listObjectNames(repository));
    assert.deepEqual(sound.findings, []);
    assert.deepEqual(sound.count, { checked: SIZES.length, corrupted: 0 });

    const damaged = ids.filter((_, index) => (SIZES[index] as number) > 0);
    for (const id of damaged) flipLastByte(join(path, 'objects', objectPath(id)), SIZES[ids.indexOf(id)] as number);
    const report = await checkObjects(repository, await listObjectNames(repository));
    assert.deepEqual(
      report.findings.map(errorOf).map(({ kind, path: where }) => `${kind}: ${where}`),
      damaged.map((id) => `object-digest-mismatch: objects/${objectPath(id)}`).sort(),
    );
  });
}

test('what is no file in the place of an object is reported and not followed', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'fsck-objects-'));
  t.after(() => rmSync(path, { recursive: true }));
  initRepository(path, { algorithm: 'sha256', insecure: true });
  const place = (first: string): string => join(path, 'objects', first, '0'.repeat(62));
  for (const first of ['0a', '0b', '0c', '0d']) mkdirSync(dirname(place(first)), { recursive: true });
  symlinkSync('/dev/zero', place('0a'));
  mkdirSync(place('0b'));
  execFileSync('mkfifo', [place('0c')]);
  writeFileSync(place('0d'), 'x');
  truncateSync(place('0d'), 0);
  writeFileSync(join(path, 'objects/0e'), '');
  symlinkSync('/', join(path, 'objects/0f'));
  using repository = await Repository.open(path);
  const report = await checkObjects(repository, await listObjectNames(repository));
  assert.deepEqual(
    report.findings
      .map(errorOf)
      .map(({ kind, path: where, detail }) => [kind, where.slice(0, 10), detail?.slice(0, 8)]),
    [
      ['object-open-failed', 'objects/0a', 'a symlin'],
      ['object-open-failed', 'objects/0b', 'not a re'],
      ['object-open-failed', 'objects/0c', 'not a re'],
      ['object-digest-mismatch', 'objects/0d', 'measured'],
      ['object-invalid-name', 'objects/0e', undefined],
      ['object-invalid-name', 'objects/0f', undefined],
    ],
  );
  const names = await listObjectNames(repository);
  assert.equal(names.count, 4);
  assert.deepEqual(
    [names.has(`0d${'0'.repeat(62)}`), names.has(`0e${'0'.repeat(62)}`), names.has('0d')],
    [true, false, false],
  );
  assert.deepEqual(names.missing(Buffer.from(`ff${'0'.repeat(62)}0a${'0'.repeat(62)}ff${'0'.repeat(62)}`, 'hex')), [
    `ff${'0'.repeat(62)}`,
  ]);
});

test('names are found however they are spread', () => {
  const random = generator(3);
  for (const first of [() => '', () => 'ff', () => '0000000000000000', () => (random() < 0.9 ? '80' : '')]) {
    const name = (): string => (first() + createHash('sha256').update(String(random())).digest('hex')).slice(0, 64);
    const ids = [...new Set(Array.from({ length: 5000 }, name))].sort();
    const others = Array.from({ length: 500 }, name).filter((id) => !ids.includes(id));
    const names = namesOf(Buffer.from(ids.join(''), 'hex'));
    assert.deepEqual(names.missing(Buffer.from([...ids, ...others].join(''), 'hex')), [...new Set(others)].sort());
  }
  assert.equal(namesOf(Buffer.alloc(0)).has('00'.repeat(32)), false);
  assert.equal(namesOf(Buffer.alloc(32, 255)).has('ff'.repeat(32)), true);
});

function namesOf(ids: Buffer): ObjectNames {
  return new ObjectNames({ ids, places: Buffer.alloc(ids.length / 4), others: [] }, 'sha256');
}

function flipLastByte(file: string, size: number): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, '\xff', size - 1, 'latin1');
  closeSync(fd);
}
