import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { RawRecord } from '../../../src/storage/write/raw-record.js';
import { smallStoreIndexes } from '../../support/images/small-store.js';

const ORDER = ['id', 'names', 'layer', 'flags'];

/** The list as it is written after `change` was done to the record with this number. */
function changed(list: string, change: (record: RawRecord) => void, number = 0): string {
  const records = RawRecord.parseList(Buffer.from(list, 'latin1'), 'list');
  change(records[number]!);
  return RawRecord.printList(records).toString('latin1');
}

test('indexes that podman wrote come out as they are, byte for byte', () => {
  for (const bytes of smallStoreIndexes()) {
    const records = RawRecord.parseList(bytes, 'list');
    assert.ok(records.length > 10);
    assert.deepEqual(RawRecord.printList(records), bytes);
  }
});

test('members that are changed as they were written by podman stay byte for byte', () => {
  for (const bytes of smallStoreIndexes()) {
    const records = RawRecord.parseList(bytes, 'list');
    for (const record of records)
      for (const key of Object.keys(record.value() as object)) record.set(key, record.get(key), []);
    assert.deepEqual(RawRecord.printList(records), bytes);
  }
});

test('what nobody knows stays byte for byte: members, escapes, numbers, bytes that are no text, other records', () => {
  const odd = '{ "id" :"a" , "x":1.50e+3,"\\u0079":{"deep":["]","}",{}]} ,"z":"\xff\xfe", "n":9007199254740993}';
  const list = `[ ${odd} ,{"id":"b","names":["<&>"]}]`;
  assert.equal(
    changed(list, (record) => record.set('names', ['new'], ORDER), 1),
    `[${odd},{"id":"b","names":["new"]}]`,
  );
  assert.equal(
    changed(list, (record) => record.set('flags', { x: true }, ORDER)),
    '[{"id" :"a","x":1.50e+3,"\\u0079":{"deep":["]","}",{}]},"z":"\xff\xfe","n":9007199254740993,"flags":{"x":true}},' +
      '{"id":"b","names":["<&>"]}]',
  );
});

test('a member that is added stands where Go would write it', () => {
  const after = changed('[{"id":"a","other":1,"layer":"l"}]', (record) => record.set('names', ['<n>'], ORDER));
  assert.equal(after, '[{"id":"a","other":1,"names":["\\u003cn\\u003e"],"layer":"l"}]');
});

test('a member can be taken out', () => {
  assert.equal(
    changed('[{"id":"a","names":[]}]', (record) => record.set('names', undefined, ORDER)),
    '[{"id":"a"}]',
  );
});

for (const [what, list, count] of [
  ['an empty file', '', 0],
  ['null', 'null', 0],
  ['an empty list', ' [ ] ', 0],
  ['an empty record', '[{}]', 1],
] as const)
  test(`${what} has ${count} records`, () => {
    assert.equal(RawRecord.parseList(Buffer.from(list), 'list').length, count);
  });

for (const [what, list] of [
  ['half a list', '[{"id":"a"}'],
  ['an object', '{"id":"a"}'],
  ['a list of something else', '[1]'],
] as const)
  test(`${what} is refused`, () => {
    assert.throws(
      () => RawRecord.parseList(Buffer.from(list), 'layers.json'),
      (error) => error instanceof FormatError && error.code === 'BAD_JSON' && error.message.includes('layers.json'),
    );
  });

test('a record that has a key twice is not changed', () => {
  const list = '[{"id":"a","layer":"x","l\\u0061yer":"y"}]';
  assert.throws(
    () => changed(list, (record) => record.set('names', [], ORDER)),
    (error) => error instanceof FormatError && error.code === 'BAD_JSON' && error.message.includes('"layer" twice'),
  );
  assert.equal(
    changed(list, () => {}),
    list,
  );
});

test('a key that is no ordinary one is a member like others', () => {
  assert.equal(
    changed('[{"__proto__":{"a":1},"id":"a"}]', (record) => record.set('layer', 'l', ORDER)),
    '[{"__proto__":{"a":1},"id":"a","layer":"l"}]',
  );
});
