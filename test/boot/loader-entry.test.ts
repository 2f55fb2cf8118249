import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageArgument, namedImage, splitCommandLine } from '../../src/boot/command-line.js';
import { LoaderEntry } from '../../src/boot/loader-entry.js';
import { prettyName } from '../../src/boot/os-release.js';
import { hasPeSection, peSection, type ReadPart } from '../../src/boot/portable-executable.js';
import { FormatError } from '../../src/errors.js';
import { efiProgram } from '../support/images/boot-programs.js';

const ID = '0123456789abcdef'.repeat(4);

describe('a kernel command line', () => {
  test('is split at white space outside quotes', () => {
    assert.deepEqual(
      splitCommandLine(' a  b="c d"e\tf "g h').map(({ text }) => text),
      ['a', 'b="c d"e', 'f', '"g h'],
    );
  });

  for (const [line, id] of [
    [`quiet composefs=${ID}`, ID],
    [`composefs=?${ID.toUpperCase()}`, ID],
    [`composefs=${'1'.repeat(64)} composefs.digest=v1-sha256-12:${ID}`, ID],
    [`composefs.digest=?v2-sha256-12:${ID}`, ID],
    [`composefs.digest=v1-sha512-12:00 composefs=${ID}`, ID],
    [`"composefs=${ID}"`, undefined],
    [`xcomposefs=${ID}`, undefined],
    ['', undefined],
  ] as const)
    test(`${line.slice(0, 60)} names ${id === undefined ? 'no image' : 'one'}`, () =>
      assert.equal(namedImage(line, 'sha256'), id));

  for (const line of [
    'composefs=',
    `composefs=${ID}0`,
    `composefs=${ID.replace('0', 'g')}`,
    `composefs.digest=${ID}`,
    `composefs.digest=v3-sha256-12:${ID}`,
    `composefs.digest=v1-sha256-16:${ID}`,
    `composefs.digest=v1-md5-12:${ID}`,
    'composefs.digest=v1-sha256-12:00',
  ])
    test(`${line.slice(0, 40)} cannot be read`, () =>
      assert.throws(() => namedImage(line, 'sha256'), { code: 'KERNEL_ARGUMENT', message: /composefs/ }));

  test('names what was put into it', () => {
    for (const version of [0, 1, 2] as const)
      for (const insecure of [true, false])
        assert.equal(namedImage(imageArgument(ID, version, 'sha256', insecure), 'sha256'), ID);
  });
});

describe('a boot loader entry', () => {
  const edited = (text: string, edit: (entry: LoaderEntry) => void): string => {
    const entry = new LoaderEntry(Buffer.from(text));
    edit(entry);
    return entry.toBytes().toString();
  };

  test('keeps what nobody changes, and ends with a newline', () => {
    assert.equal(
      edited('# x\n\nTitle a\n\ttitle b\nlinux', () => undefined),
      '# x\n\nTitle a\n\ttitle b\nlinux\n',
    );
  });

  test('knows its files', () => {
    assert.deepEqual(
      new LoaderEntry(
        Buffer.from('linux /a\n linux /b\nlinuxx /c\ninitrd\t /d \ninitrd /e f\nefi /g\r\n#efi /h'),
      ).files(),
      ['/a', '/d', '/e f', '/g'],
    );
  });

  test('is UTF-8', () => assert.throws(() => new LoaderEntry(Buffer.from([0xc3])), { code: 'BOOT_ENTRY' }));

  for (const [text, argument, expected] of [
    ['title x\n', 'rw', 'title x\noptions rw\n'],
    ['options\nlinux /a\n', 'rw', 'options\nlinux /a\noptions rw\n'],
    ['options quiet\noptions root=a\n', 'root=b', 'options quiet\noptions root=b\n'],
    ['options rwx rw quiet\n', 'rw', 'options rwx rw quiet\n'],
    ['options a=1 a=2\n', 'a=3', 'options a=3 a=2\n'],
    ['options ab=1\n', 'a=3', 'options ab=1 a=3\n'],
    ['options $&\n', "$'=1", "options $& $'=1\n"],
  ] as const)
    test(`with ${argument} in ${JSON.stringify(text)}`, () =>
      assert.equal(
        edited(text, (entry) => entry.addArgument(argument)),
        expected,
      ));

  for (const [text, expected] of [
    ['options composefs=1 quiet composefs.digest=2 rw\n', 'options composefs=NEW quiet rw\n'],
    ['options quiet\noptions composefs.digest=2\n', 'options quiet\noptions composefs=NEW\n'],
    ['options a composefs=1\noptions composefs=1\tb\n', 'options a composefs=NEW\noptions b\n'],
    ['options quiet\n', 'options quiet composefs=NEW\n'],
  ] as const)
    test(`that names another image: ${JSON.stringify(text)}`, () =>
      assert.equal(
        edited(text, (entry) => entry.nameImage('composefs=NEW')),
        expected,
      ));
});

for (const [text, name] of [
  ['NAME=a\nPRETTY_NAME="b \\"c\\" \'d\'"\n', 'b "c" \'d\''],
  ["PRETTY_NAME='e \\ f'g\n", 'e \\ fg'],
  ['#PRETTY_NAME=x\nID=h', 'h'],
  ['PRETTY_NAME=\nNAME=i\r\n', 'i'],
  ['PRETTY_NAME="unfinished\x1b[2J\n', '"unfinished[2J'],
  ['VERSION=1', undefined],
] as const)
  test(`os-release ${JSON.stringify(text)} is called ${name}`, () => assert.equal(prettyName(Buffer.from(text)), name));

describe('an EFI program', () => {
  const reader =
    (bytes: Buffer): ReadPart =>
    (offset, length) => {
      if (offset + length > bytes.length) throw new FormatError('SHORT_FILE', 'short');
      return bytes.subarray(offset, offset + length);
    };
  const program = efiProgram({ '.linux': 'kernel', '.cmdline': 'quiet', '.12345678': '', '.empty': '' });

  test('gives its sections', () => {
    assert.equal(peSection(reader(program), '.cmdline', 100)?.toString(), 'quiet');
    assert.equal(peSection(reader(program), '.osrel', 100), undefined);
    assert.ok(hasPeSection(reader(program), '.linux') && hasPeSection(reader(program), '.empty'));
    assert.throws(() => peSection(reader(program), '.cmdline', 4), { code: 'BOOT_ENTRY', message: /5 bytes/ });
  });

  test('is refused when it ends early, wherever that is', () => {
    const end = program.lastIndexOf('quiet') + 5;
    for (let length = 0; length < end; length++)
      assert.throws(
        () => peSection(reader(program.subarray(0, length)), '.cmdline', 100),
        { code: 'BOOT_ENTRY' },
        `${length} bytes`,
      );
    assert.throws(() => hasPeSection(reader(program.subarray(0, program.indexOf('kernel') + 5)), '.linux'), {
      code: 'BOOT_ENTRY',
    });
  });

  test('with any byte changed is read or refused, and nothing else', () => {
    for (let at = 0; at < program.length; at++)
      for (const value of [0, 0x7f, 0xff]) {
        const changed = Buffer.from(program);
        changed[at] = value;
        try {
          peSection(reader(changed), '.cmdline', 100);
        } catch (error) {
          assert.ok(error instanceof FormatError && error.code === 'BOOT_ENTRY', String(error));
        }
      }
  });
});
