import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { describeError } from '../../src/cli/errors.js';
import { FormatError } from '../../src/errors.js';
import { withLayer } from '../../src/oci/pull/layer-error.js';

const failure = new Error('opening repository /nonexistent', { cause: new Error('No such file or directory') });

class SuppressedError extends Error {
  constructor(
    readonly error: unknown,
    readonly suppressed: unknown,
  ) {
    super('An error was suppressed during disposal.');
    this.name = 'SuppressedError';
  }
}

function failedParse(message: string): Error {
  return new Error(message, { cause: z.object({ version: z.literal(1) }).safeParse({ version: 2 }).error });
}

const table: [string, unknown, string][] = [
  ['no cause', new Error('OCI reference not found: a'), 'Error: OCI reference not found: a'],
  ['one cause', failure, 'Error: opening repository /nonexistent\n\nCaused by:\n    No such file or directory'],
  [
    'several causes are numbered',
    new Error('listing', { cause: failure }),
    'Error: listing\n\nCaused by:\n    0: opening repository /nonexistent\n    1: No such file or directory',
  ],
  [
    'the first failure counts, not that of the clean-up',
    new SuppressedError(new Error('close'), new Error('read')),
    'Error: read',
  ],
  [
    'a cause that only repeats what was said is left out',
    new Error('a.tar: cut off', { cause: new Error('cut off') }),
    'Error: a.tar: cut off',
  ],
  [
    'nor is the place repeated that a layer adds',
    withLayer(new FormatError('TAR_TRUNCATED', 'cut off', { place: { offset: 7 } }), 'sha256:1'),
    'Error: importing a layer failed: cut off (layer sha256:1, offset 7)',
  ],
  [
    'what others said cannot steer the terminal',
    new Error('server: \x1b[2K\r\x9b1mfine\x7f', { cause: new Error('a\tb\x07') }),
    'Error: server: \\x1b[2K\\x0d\\x9b1mfine\\x7f\n\nCaused by:\n    a\tb\\x07',
  ],
  [
    'what is wrong with JSON is said in words',
    failedParse('not this version'),
    'Error: not this version\n\nCaused by:\n    version: Invalid input: expected 1',
  ],
  [
    'and not again',
    failedParse('at version: Invalid input: expected 1'),
    'Error: at version: Invalid input: expected 1',
  ],
  [
    'a full disk comes with advice',
    new Error('pulling', { cause: Object.assign(new Error('cannot write'), { code: 'ENOSPC' }) }),
    'Error: pulling\n\nCaused by:\n    cannot write\n\nthe disk is full: make room (in a repository, "cfsbridge ' +
      'gc" removes what nothing needs) and run the command again; what was stored before is whole',
  ],
  ['something that is no error', 'text', 'Error: text'],
];

for (const [name, error, expected] of table)
  test(`error text: ${name}`, () => assert.equal(describeError(error), expected));

test('a chain that bites its own tail ends', () => {
  const first = new Error('first');
  first.cause = new Error('second', { cause: first });
  assert.equal(describeError(first), 'Error: first\n\nCaused by:\n    second');
});
