import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDump } from '../../src/erofs/dumpfile-parse.js';
import { printDump } from '../../src/erofs/dumpfile-print.js';
import { writeErofs } from '../../src/erofs/writer.js';
import { fixture, fixtureNames } from '../support/fixtures.js';

const ROOT = '/ 0 40755 2 0 0 0 1.0 - - -\n';

describe('lines that are refused say where and why', () => {
  const file = (field: Partial<Record<'path' | 'size' | 'mode' | 'mtime' | 'payload' | 'content' | 'digest' | 'xattr', string>>): string => {
    const { path = '/a', size = '0', mode = '100644', mtime = '0.0', payload = '-', content = '-', digest = '-', xattr = '' } = field;
    return `${path} ${size} ${mode} 1 0 0 0 ${mtime} ${payload} ${content} ${digest}${xattr}\n`;
  };
  const cases: [text: string, message: RegExp][] = [
    ['', /no lines/],
    ['\n', /^line 1: PATH: empty/],
    [file({}), /^line 1: PATH: the first line/],
    [ROOT + ROOT, /^line 2: PATH: a second root/],
    [ROOT + file({ path: '/a\\q' }), /^line 2: unknown escape "\\q"/],
    [ROOT + file({ path: '/a\\x4' }), /^line 2: two hex digits/],
    [ROOT + file({ path: '/a\\' }), /^line 2: no character after/],
    [ROOT + file({ path: '/..' }), /^line 2: PATH: "." or "\.\."/],
    [ROOT + file({ path: '/../a' }), /^line 2: PATH: there is no parent directory/],
    [ROOT + file({}) + file({ path: '/a/b' }), /^line 3: PATH: its parent "a" is no directory/],
    [ROOT + file({}) + file({ path: '//a' }), /^line 3: PATH: is there already/],
    [ROOT + file({ size: '1x' }), /^line 2: SIZE: invalid integer "1x"/],
    [ROOT + file({ mode: '644' }), /^line 2: MODE: 644 has no known file type/],
    [ROOT + file({ mode: '100648' }), /^line 2: MODE: invalid octal/],
    [ROOT + file({ mtime: '5' }), /^line 2: MTIME: "5" has no/],
    [ROOT + file({ size: '2', content: 'abc' }), /^line 2: CONTENT: 3 bytes, SIZE says 2/],
    [ROOT + file({ size: '1', digest: 'abcd' }), /^line 2: DIGEST/],
    [ROOT + file({ size: '1', digest: 'z'.repeat(64) }), /^line 2: DIGEST/],
    [ROOT + file({ xattr: ' user.a' }), /^line 2: xattr: missing "="/],
    [ROOT + file({ xattr: ' =a' }), /^line 2: xattr: a name of 0 bytes/],
    [ROOT + file({ xattr: ` user.a=${'x'.repeat(32800)}` }), /^line 2: xattr: too many or too long/],
    [ROOT + file({ mode: '120777' }), /^line 2: PAYLOAD: a symlink target/],
    [`${ROOT}/a 1 100644 1 0 0 0 0.0 x -\n`, /^line 2: DIGEST/],
    [ROOT + file({ mode: '@100644' }), /^line 2: PAYLOAD: no target/],
    [ROOT + file({ mode: '@40755', payload: '/b' }), /^line 2: MODE: directories cannot/],
    [`${ROOT}/a 0 @100644 - - - - 0.0 /b - -\n/b 0 @100644 - - - - 0.0 /a - -\n`, /^line 2: PAYLOAD: the hardlink leads to itself/],
    [ROOT + file({ mode: '@100644', payload: '/' }), /^line 2: PAYLOAD: the hardlink's target/],
    [`${ROOT}${'/d'.repeat(2049)} 0 40755 1 0 0 0 0.0 - - -\n`, /^line 2: PATH: 2048 nested/],
    [`${ROOT}/a 0 100644 1\n`, /^line 2: 4 fields/],
    [ROOT + file({ path: '/a/' }), /^line 2: PATH: a slash at the end/],
    [ROOT + file({ mode: '@x', payload: '/' }), /^line 2: MODE: invalid octal/],
    [`${ROOT}/a\0 0 100644 1 0 0 0 0.0 - - -\n`, /^line 2: NUL byte at position 2/],
  ];
  for (const [text, message] of cases) {
    test(String(message), () => assert.throws(() => parseDump(Buffer.from(text)), { code: 'DUMPFILE', message }));
  }
});

describe('numbers are read as the C tools read them', () => {
  const cases: [field: string, line: string, printed: string][] = [
    ['signs and white space', '/a +5 100644 +1 \t7 0 0 +3.+4 x/y - -', '/a 5 100644 1 7 0 0 3.4 x/y - -'],
    ['negative times', '/a 0 100644 1 0 0 0 -5.0 - - -', '/a 0 100644 1 0 0 0 -5.0 - - -'],
    ['wrapped times', '/a 0 100644 1 0 0 0 18446744073709551611.0 - - -', '/a 0 100644 1 0 0 0 -5.0 - - -'],
    ['owners cut to 32 bits', '/a 0 100644 1 4294967297 -1 0 0.0 - - -', '/a 0 100644 1 1 4294967295 0 0.0 - - -'],
    ['a bad group of somebody else', '/a 0 100644 1 5 x 0 0.0 - - -', '/a 0 100644 1 5 0 0 0.0 - - -'],
    ['one space at the end', '/a 0 100644 1 0 0 0 0.0 - - - user.a=1 ', '/a 0 100644 1 0 0 0 0.0 - - - user.a=1'],
    ['fields missing at the end', '/a 0 100644 1 0 0 0 0.0', '/a 0 100644 1 0 0 0 0.0 - - -'],
    ['NUL in a path', '/a\\x00b 0 100644 1 0 0 0 0.0 - - -', '/a 0 100644 1 0 0 0 0.0 - - -'],
    ['mode bits above 16', '/a 0 7100644 1 0 0 0 0.0 - - -', '/a 0 100644 1 0 0 0 0.0 - - -'],
  ];
  for (const [what, line, printed] of cases) {
    test(what, () => {
      const text = Buffer.concat([...printDump(parseDump(Buffer.from(`${ROOT}${line}\n`)))]).toString();
      assert.equal(text, `${ROOT}${printed}\n`);
    });
  }
});

describe('what is printed makes the same image', () => {
  const names = fixtureNames('erofs/valid').map((name) => name.replace(/\.zst$/, ''));
  for (const name of names) {
    test(name, () => {
      const root = parseDump(fixture(`erofs/valid/${name}`));
      const again = parseDump(Buffer.concat([...printDump(root)]));
      const options = { version: 1, algorithm: name.startsWith('sha512') ? 'sha512' : 'sha256', peer: 'composefs' } as const;
      assert.ok(writeErofs(again, options).equals(writeErofs(root, options)));
    });
  }
});

test('a long chain of hardlinks is followed once', { timeout: 20_000 }, () => {
  const count = 100_000;
  const lines = Array.from({ length: count }, (_, index) => `/l${index} 0 @100644 - - - - 0.0 /l${index + 1} - -\n`);
  const root = parseDump(Buffer.from(`${ROOT}${lines.join('')}/l${count} 0 100644 1 0 0 0 0.0 - - -\n`));
  assert.equal(root.entries.get('l0'), root.entries.get(`l${count}`));
});
