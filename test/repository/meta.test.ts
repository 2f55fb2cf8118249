import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError, FormatError } from '../../src/errors.js';
import {
  checkReadable,
  checkWritable,
  erofsVersions,
  newMeta,
  parseMeta,
  printMeta,
} from '../../src/repository/meta.js';

/** What `cfsctl init` 0.9.4 wrote. */
const V1 = `{
  "version": 1,
  "algorithm": "fsverity-sha512-12",
  "features": {
    "compatible": [],
    "read-only-compatible": [
      "v1_erofs"
    ],
    "incompatible": []
  },
  "erofs_formats": {
    "default": 1
  }
}
`;
const V2 = V1.replace('[\n      "v1_erofs"\n    ]', '[]').replace('"default": 1', '"default": 2');

test('new repositories get the metadata cfsctl writes', () => {
  assert.equal(printMeta(newMeta('sha512', 1)), V1);
  assert.equal(printMeta(newMeta('sha512', 2)), V2);
  assert.equal(printMeta(newMeta('sha256', 0)), V2.replace('512', '256').replace('"default": 2', '"default": 0'));
});

test('metadata survives reading and printing', () => {
  for (const text of [V1, V2, V1.replace('"default": 1', '"default": 2,\n    "extra": [\n      1\n    ]')])
    assert.equal(printMeta(parseMeta(text)), text);
});

test('which EROFS versions images get', () => {
  const flag = '"features":{"read-only-compatible":["v1_erofs"]},';
  const cases: [string, number[]][] = [
    ['"version":1', [2]],
    [`${flag}"version":1`, [1]],
    [`${flag}"version":1,"erofs_formats":{"default":2}`, [1]],
    ['"version":1,"erofs_formats":{"default":1}', [1]],
    [`${flag}"version":1,"erofs_formats":{"default":0}`, [0]],
    [`${flag}"version":1,"erofs_formats":{"default":2,"extra":[1,2]}`, [2, 1]],
  ];
  for (const [members, versions] of cases)
    assert.deepEqual(erofsVersions(parseMeta(`{"algorithm":"fsverity-sha256-12",${members}}`)), versions, members);
});

test('metadata that is not understood is refused', () => {
  const cases = [
    '',
    '[]',
    '{"version":1}',
    '{"algorithm":"fsverity-sha256-12"}',
    V1.replace('"version": 1', '"version": 1.5'),
    V1.replace('-12', '-16'),
    V1.replace('sha512', 'sha384'),
    V1.replace('"default": 1', '"default": 3'),
  ];
  for (const text of cases) assert.throws(() => parseMeta(text), FormatError, text);
});

test('unknown features decide what may be done', () => {
  const withFlag = (list: string) =>
    parseMeta(
      JSON.stringify({ version: 1, algorithm: 'fsverity-sha512-12', features: { [list]: ['v1_erofs', 'other'] } }),
    );
  assert.throws(() => checkReadable(withFlag('incompatible')), code('REPOSITORY_INCOMPATIBLE'));
  assert.throws(
    () => checkReadable(parseMeta(V1.replace('"version": 1', '"version": 2'))),
    code('REPOSITORY_INCOMPATIBLE'),
  );
  checkReadable(withFlag('read-only-compatible'));
  assert.throws(() => checkWritable(withFlag('read-only-compatible')), code('REPOSITORY_READ_ONLY'));
  checkWritable(withFlag('compatible'));
});

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof BridgeError && error.code === expected;
}
