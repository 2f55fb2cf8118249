import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStrictJson } from '../../src/spec/strict-json.js';

for (const text of [
  '{}',
  ' {"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]} ',
  '["a","a",{"a":"a"}]',
  '{"a":"\\"b\\":1,\\"b\\":2"}',
  '{"a{":1,"a}":2,"]":[]}',
  '{"a" : 1, "A" : 2}',
  '"a"',
])
  test(`taken: ${text}`, () => assert.deepEqual(parseStrictJson(text), JSON.parse(text)));

for (const text of [
  '{"a":1,"a":2}',
  '{"a":{"b":1,"c":{},"b":2}}',
  '[{"a":1,"b":[{}],"a":1}]',
  '{"a":1,"\\u0061":2}',
  '{"a" \n: 1, "a"\t:2}',
  '{"__proto__":1,"__proto__":2}',
  '{"a":1',
  '',
])
  test(`refused: ${JSON.stringify(text)}`, () => assert.throws(() => parseStrictJson(text), SyntaxError));

test('a document of a megabyte takes no time', () => {
  const text = `{"a":[${'['.repeat(500)}${']'.repeat(500)},"${'\\"'.repeat(400_000)}"]}`;
  const start = performance.now();
  parseStrictJson(text);
  assert.ok(performance.now() - start < 1000);
});
