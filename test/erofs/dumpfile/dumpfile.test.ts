import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { fixture, fixtureNames } from '../../support/fixtures.js';

const ROOT = '/ 0 40755 2 0 0 0 1.0 - - -\n';

describe('lines that are refused say where and why', () => {
  const file = (
    field: Partial<Record<'path' | 'size' | 'mode' | 'mtime' | 'payload' | 'content' | 'digest' | 'xattr', string>>,
  ): string => {
    const {
      path = '/a',
      size = '0',
      mode = '100644',
      mtime = '0.0',
      payload = '-',
      content = '-',
      digest = '-',
      xattr = '',
    } = field;
    return `${path} ${size} ${mode} 1 0 0 0 ${mtime} ${payload} ${content} ${digest}${xattr}\n`;
  };
  const cases: [text: string, message: RegExp][] = [
    ['', /^No files in dump file/],
    ['\n', /^line 1: Invalid empty path/],
    [file({}), /^line 1: Root node not present/],
    [ROOT + ROOT, /^line 2: Can't have multiple roots/],
    [ROOT + file({ path: '/a\\q' }), /^line 2: Unsupported escape type q/],
    [ROOT + file({ path: '/a\\x4' }), /^line 2: No hex characters/],
    [ROOT + file({ path: '/a\\' }), /^line 2: No character after/],
    [ROOT + file({ path: '/..' }), /^line 2: Invalid \. or \.\. in path: \/\.\./],
    [ROOT + file({ path: '/../a' }), /^line 2: Parent directory missing for \/\.\.\/a/],
    [ROOT + file({}) + file({ path: '/a/b' }), /^line 3: Parent must be a directory for \/a\/b/],
    [ROOT + file({}) + file({ path: '//a' }), /^line 3: Can't add child/],
    [ROOT + file({ size: '1x' }), /^line 2: Invalid integer 1x/],
    [ROOT + file({ mode: '644' }), /^line 2: Invalid mode 644/],
    [ROOT + file({ mode: '100648' }), /^line 2: Invalid integer/],
    [ROOT + file({ mtime: '5' }), /^line 2: Invalid integer/],
    [ROOT + file({ size: '2', content: 'abc' }), /^line 2: Invalid content size 3, must match size 2/],
    [ROOT + file({ size: '1', digest: 'abcd' }), /^line 2: Invalid digest/],
    [ROOT + file({ size: '1', digest: 'z'.repeat(64) }), /^line 2: Invalid digest/],
    [ROOT + file({ xattr: ' user.a' }), /^line 2: Missing = in xattr/],
    [ROOT + file({ xattr: ' =a' }), /^line 2: Can't set xattr: a name of 0 bytes/],
    [ROOT + file({ xattr: ` user.a=${'x'.repeat(32800)}` }), /^line 2: Too many xattrs/],
    [ROOT + file({ mode: '120777' }), /^line 2: Invalid symlink/],
    [`${ROOT}/a 1 100644 1 0 0 0 0.0 x -\n`, /^line 2: Invalid digest/],
    [ROOT + file({ mode: '@100644' }), /^line 2: No target path for the hardlink/],
    [ROOT + file({ mode: '@40755', payload: '/b' }), /^line 2: Directories can't be hardlinked/],
    [
      `${ROOT}/a 0 @100644 - - - - 0.0 /b - -\n/b 0 @100644 - - - - 0.0 /a - -\n`,
      /^line 2: Self-referential hardlink \/b/,
    ],
    [ROOT + file({ mode: '@100644', payload: '/' }), /^line 2: Directories can't be hardlinked/],
    [`${ROOT}${'/d'.repeat(2049)} 0 40755 1 0 0 0 0.0 - - -\n`, /^line 2: Can't add child: 2048 nested/],
    [`${ROOT}/a 0 100644 1\n`, /^line 2: Invalid integer/],
    [ROOT + file({ path: '/a/' }), /^line 2: Parent directory missing for \/a\//],
    [ROOT + file({ mode: '@x', payload: '/' }), /^line 2: Invalid integer/],
    [ROOT + file({ payload: 'p'.repeat(4096) }), /^line 2: Invalid payload \(entry "\/a", field PAYLOAD\)/],
    [ROOT + file({ mode: '40755', payload: 'p'.repeat(4096) }), /^line 2: Invalid payload/],
    [ROOT + file({ mode: '200000' }), /^line 2: Invalid mode 200000/],
    [ROOT + file({ size: '-1', content: 'abc' }), /^line 2: Invalid content size 3, must match size -1/],
    [ROOT + file({ mtime: '1,5' }), /^line 2: Invalid integer 1,5 \(entry "\/a", field MTIME\)/],
    [ROOT + file({ size: 'x', mode: '100648' }), /^line 2: Invalid integer 100648 .*field MODE/],
    [`${ROOT}/a 0 100644 1 0 0 x 0.0 - - -\n`, /^line 2: Invalid integer x .*field RDEV/],
    [ROOT + file({ xattr: ' user.a=\\q' }), /^line 2: Unsupported escape type q .*field xattr/],
    [ROOT + file({ digest: 'x', size: '1' }), /^line 2: Invalid digest x.*field DIGEST/],
    [ROOT + file({ size: '1', content: '\\' }), /^line 2: No character after escape .*field CONTENT/],
    [
      ROOT + file({ mode: '@100644', payload: '/b/c' }),
      /^line 2: No target at \/b\/c for hardlink \(entry "\/a", field PAYLOAD\)/,
    ],
    [`${ROOT}/a${' '.repeat(9 << 20)}\n`, /^line 2: more than 8388608 bytes/],
    [`${ROOT}/a\0 0 100644 1 0 0 0 0.0 - - -\n`, /^line 2: Invalid embedded NUL character at position 2/],
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
      const options = {
        version: 1,
        algorithm: name.startsWith('sha512') ? 'sha512' : 'sha256',
        writer: 'composefs',
      } as const;
      assert.ok(writeErofs(again, options).equals(writeErofs(root, options)));
    });
  }
});

test('of a hardlink only path, mode and target count', () => {
  const lines = '/a 0 100644 1 0 0 0 0.0 - - -\n/b - @100644 - - - - - /a \\q \\q\n/c x @120000 x - - - - /a\n';
  const root = parseDump(Buffer.from(ROOT + lines));
  assert.equal(root.entries.get('b'), root.entries.get('a'));
  assert.equal(root.entries.get('c'), root.entries.get('a'));
});

test('a long chain of hardlinks is followed once', { timeout: 20_000 }, () => {
  const count = 100_000;
  const lines = Array.from({ length: count }, (_, index) => `/l${index} 0 @100644 - - - - 0.0 /l${index + 1} - -\n`);
  const root = parseDump(Buffer.from(`${ROOT}${lines.join('')}/l${count} 0 100644 1 0 0 0 0.0 - - -\n`));
  assert.equal(root.entries.get('l0'), root.entries.get(`l${count}`));
});
