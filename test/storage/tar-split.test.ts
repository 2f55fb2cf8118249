import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Chunk } from '../../src/layer/stream.js';
import { cleanName, TarSplitParser } from '../../src/storage/tar-split.js';

// Chunks that stand for files carry their name and size as bytes here, so that one list shows the order.
function parse(text: string | Buffer, blockSize = 1 << 20, expectedLength?: number): string[] {
  const parser = new TarSplitParser(
    'test',
    (name, size) => ({ kind: 'bytes', bytes: Buffer.from(`<${name} ${size}>`, 'latin1') }),
    expectedLength,
  );
  const bytes = Buffer.from(text as string);
  const chunks: Chunk[] = [];
  for (let start = 0; start < bytes.length; start += blockSize)
    chunks.push(...parser.push(bytes.subarray(start, start + blockSize)));
  chunks.push(...parser.finish());
  return chunks.map((chunk) => (chunk.kind === 'bytes' ? chunk.bytes.toString('latin1') : chunk.kind));
}

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const segment = (text: string): string => `{"type":2,"payload":"${base64(text)}","position":7}\n`;

const READ: [why: string, text: string, expected: string[]][] = [
  [
    'segments and files alternate',
    `${segment('head')}{"type":1,"name":"a/b","size":3,"payload":"O/wOSYpFLY0=","position":1}\n${segment('pad')}`,
    ['head', '<a/b 3>', 'pad'],
  ],
  [
    'adjacent segments join',
    segment('one') + segment('two') + '{"type":1,"name":"d/","payload":null,"position":1}\n' + segment('!'),
    ['onetwo!'],
  ],
  [
    'a name that is not UTF-8',
    `{"type":1,"name_raw":"b3B0L+l0ZQ==","size":3,"payload":"O/wOSYpFLY0="}\n`,
    ['<opt/\xe9te 3>'],
  ],
  [
    'escapes in a name',
    '{"type":1,"name":"a\\u0026b\\"\\u00e9","size":3,"payload":"O/wOSYpFLY0="}\n',
    ['<a&b"\xc3\xa9 3>'],
  ],
  ['UTF-8 in a name stays bytes', '{"type":1,"name":"\u00e9","size":3,"payload":"O/wOSYpFLY0="}\n', ['<\xc3\xa9 3>']],
  [
    'keys in another order',
    `{"position":3,"payload":"${base64('x')}","type":2}\n{"size":1,"name":"n","type":1}\n`,
    ['x', '<n 1>'],
  ],
  ['no newline at the end', segment('last').trimEnd(), ['last']],
  [
    'names that leave the root are cut there',
    '{"type":1,"name":"/a/../../b//./c","size":9,"payload":"O/wOSYpFLY0="}\n',
    ['<b/c 9>'],
  ],
  ['empty segment', '{"type":2,"payload":""}\n{"type":2,"payload":null}\n', []],
];

for (const [why, text, expected] of READ) {
  test(`reads: ${why}`, () => {
    assert.deepEqual(parse(text), expected);
    assert.equal(parse(text, 7).join(''), expected.join(''), 'the same in small blocks');
  });
}

const REFUSED: [why: string, text: string, expectedLength?: number][] = [
  ['not JSON', 'tar\n'],
  ['an array', '[]\n'],
  ['an unknown type', '{"type":3,"payload":"AAAA"}\n'],
  ['letters outside base64', '{"type":2,"payload":"AA*A"}\n'],
  ['base64 cut short', '{"type":2,"payload":"AAAAA"}\n'],
  ['padding in the middle', '{"type":2,"payload":"AA==AAAA"}\n'],
  ['a negative size', '{"type":1,"name":"a","size":-1,"payload":null}\n'],
  ['a size beyond 2^53', '{"type":1,"name":"a","size":9223372036854775807,"payload":"O/wOSYpFLY0="}\n'],
  ['a fractional size', '{"type":1,"name":"a","size":1.5,"payload":"O/wOSYpFLY0="}\n'],
  [
    'sizes that add up beyond 2^53',
    '{"type":1,"name":"a","size":9007199254740991,"payload":"O/wOSYpFLY0="}\n'.repeat(2),
  ],
  ['content for the root directory', '{"type":1,"name":"./","size":1,"payload":"O/wOSYpFLY0="}\n'],
  ['a NUL in a name', '{"type":1,"name":"etc/passwd\\u0000x","size":1,"payload":"O/wOSYpFLY0="}\n'],
  ['content without a name', '{"type":1,"size":1,"payload":"O/wOSYpFLY0="}\n'],
  ['a line without end', `{"type":2,"payload":"${'A'.repeat(17 << 20)}`],
  ['more than the tar can have', segment('four!'), 4],
  ['less than the tar must have', segment('four'), 5],
];

for (const [why, text, expectedLength] of REFUSED) {
  test(`refuses: ${why}`, () => {
    assert.throws(() => parse(text, 64 << 10, expectedLength), { name: 'FormatError', code: 'BAD_TAR_SPLIT' });
  });
}

test('says where in the text the damage is', () => {
  assert.throws(() => parse(segment('fine') + 'broken\n', 5), {
    place: { layer: 'test', offset: segment('fine').length },
  });
});

const CLEANED: [name: string, clean: string][] = [
  ['a', 'a'],
  ['a/', 'a'],
  ['./a', 'a'],
  ['/a', 'a'],
  ['a//b', 'a/b'],
  ['a/../b', 'b'],
  ['../../b', 'b'],
  ['a/./b/.', 'a/b'],
  ['...', '...'],
  ['a..b/.c', 'a..b/.c'],
  ['.', ''],
  ['', ''],
];

for (const [name, clean] of CLEANED) test(`clean "${name}"`, () => assert.equal(cleanName(name), clean));
