import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import { readErofs } from '../../../src/erofs/read/reader.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { fixture } from '../fixtures.js';
import { fuzz } from '../../erofs/fuzz.js';
import { randomDump } from './random-dump.js';

const DUMPS = [
  'escapes',
  'hardlinks',
  'mtimes',
  'xattr-kinds',
  'xattr-overlay',
  'whiteout',
  'inline-small',
  'devices',
  'symlinks',
];
const dumps = [...DUMPS.map((name) => fixture(`erofs/valid/${name}.dump`)), randomDump(1, 12), randomDump(2, 40)];

/** Feeds damaged dumpfiles to the parser; what it takes is printed and must be taken again. */
export function fuzzDumps(count: number): number {
  const words = [
    '\\',
    '\\x',
    '\\x00',
    ' ',
    '\n',
    '-',
    '@',
    '/',
    '..',
    '0',
    '-1',
    '18446744073709551616',
    '9'.repeat(40),
    '\0',
    '=',
    ' a=b',
    '\n/a 0 @100644 - - - - 0.0 /a - -\n',
  ];
  return fuzz(
    dumps,
    words.map((word) => Buffer.from(word)),
    count,
    (input) => {
      parseDump(Buffer.concat([...printDump(parseDump(input))]));
    },
  );
}

/** Feeds damaged images to the reader. */
export function fuzzImages(count: number): number {
  const images = dumps.flatMap((dump) =>
    ([0, 2] as const).map((version) => writeErofs(parseDump(dump), { version, algorithm: 'sha256' })),
  );
  // Most of an image of format 0 are the 256 whiteouts; the interesting parts are near its start and its end.
  const words = [
    [0, 0, 0, 0],
    [255, 255, 255, 255],
    [36, 0, 0, 0],
    [0, 16],
    [255, 255],
    [1, 0],
    [0, 0, 0, 0, 0, 0, 0, 128],
  ].map((bytes) => Buffer.from(bytes));
  return fuzz(images, words, count, (input) => void readErofs(input));
}
