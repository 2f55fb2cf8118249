import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf } from '../../../src/bytes.js';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { imageObjects } from '../../../src/erofs/read/image-objects.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { openPath } from '../../../src/fd/fd.js';
import { isImage, scanImage } from '../../../src/repository/object-graph/image-marks.js';
import { namesInMountinfo } from '../../../src/repository/gc/in-use.js';
import { ObjectTable } from '../../../src/repository/gc/objects.js';
import { fixture } from '../../support/fixtures.js';

test('the table finds what was added and nothing else', () => {
  const table = new ObjectTable('sha256');
  const ids = Array.from({ length: 50_000 }, (_, i) => createHash('sha256').update(String(i)).digest('hex'));
  for (const id of ids) table.add(id);
  assert.deepEqual([table.count, table.id(49_999)], [50_000, ids[49_999]]);
  ids.forEach((id, index) => assert.equal(table.find(id), index));
  // The same first half, which decides where an object is looked for.
  ids.forEach((id) => assert.equal(table.find(id.slice(0, 32) + '0'.repeat(32)), -1));
  assert.equal(table.find('00'), -1);
  assert.deepEqual(
    [table.isKept(7), table.keep(7), table.keep(7), table.isKept(7), table.isKept(8)],
    [false, true, false, true, false],
  );
});

test('names of composefs mounts are read from mountinfo', () => {
  const line = (source: string): string =>
    `107 27 0:42 / /mnt/a\\040b ro,relatime shared:7 - overlay ${source} ro,lowerdir=/x::/y,redirect_dir=on\n`;
  assert.deepEqual(namesInMountinfo(line('composefs:ab12') + line('overlay') + line('composefs:web/a\\040b')), [
    'ab12',
    'web/a b',
  ]);
});

for (const format of [0, 1, 2] as const)
  for (const algorithm of ['sha256', 'sha512'] as const)
    test(`an image of format ${format} with ${algorithm} leads to the same objects by its marks and by its tree`, async (t) => {
      const dump = fixture(`erofs/valid/${algorithm === 'sha512' ? 'sha512-' : ''}mixed.dump`);
      const bytes = writeErofs(parseDump(dump), { version: format, algorithm });
      assert.ok(isImage(bytes));
      const expected = imageObjects(bytes);
      assert.ok(expected.length > 5);
      assert.deepEqual(await scan(t, bytes, algorithm), expected);
    });

test('marks that lie across blocks are found', async (t) => {
  const id = createHash('sha512').update('x').digest('hex');
  const mark = Buffer.concat([
    Buffer.from(`overlay.redirect/${id.slice(0, 2)}/${id.slice(2)}`),
    Buffer.from('overlay.metacopy\0\x44\0\x02', 'latin1'),
    Buffer.from(id.replace(/^./, 'f'), 'hex'),
  ]);
  for (let before = (1 << 20) - mark.length - 2; before < (1 << 20) + 2; before += 7) {
    const bytes = Buffer.concat([Buffer.alloc(before), mark]);
    assert.deepEqual(await scan(t, bytes, 'sha512'), [id, id.replace(/^./, 'f')].sort(), `at ${before}`);
  }
});

async function scan(
  t: { after(fn: () => void): void },
  bytes: Buffer,
  algorithm: 'sha256' | 'sha512',
): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), 'gc-scan-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'image'), bytes);
  using file = openPath(bytesOf(join(dir, 'image')));
  const found = new Set<string>();
  await scanImage(file, algorithm, (id) => found.add(id));
  return [...found].sort();
}
