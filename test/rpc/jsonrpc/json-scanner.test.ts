import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonObjectScanner } from '../../../src/rpc/jsonrpc/json-scanner.js';

const first = Buffer.from('{"a":"text \\" \\\\","b":[{"c":1}]}');
const second = Buffer.from('{"d":{}}');

test('two objects in a row, with the first cut anywhere', () => {
  for (let cut = 1; cut < first.length; cut++) {
    const scanner = new JsonObjectScanner();
    assert.equal(scanner.scan(first.subarray(0, cut), 0), -1);
    assert.equal(scanner.inside, true);
    const rest = Buffer.concat([first.subarray(cut), second]);
    const end = scanner.scan(rest, 0);
    assert.equal(end, first.length - cut);
    assert.equal(scanner.scan(rest, end), rest.length, `cut at ${cut}`);
    assert.equal(scanner.inside, false);
  }
});
