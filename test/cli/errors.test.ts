import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeError } from '../../src/cli/errors.js';

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

const table: [string, unknown, string][] = [
  ['no cause', new Error('OCI reference not found: a'), 'Error: OCI reference not found: a'],
  ['one cause', failure, 'Error: opening repository /nonexistent\n\nCaused by:\n    No such file or directory'],
  [
    'several causes are numbered',
    new Error('listing', { cause: failure }),
    'Error: listing\n\nCaused by:\n    0: opening repository /nonexistent\n    1: No such file or directory',
  ],
  ['the first failure counts, not that of the clean-up', new SuppressedError(new Error('close'), new Error('read')), 'Error: read'],
  ['something that is no error', 'text', 'Error: text'],
];

for (const [name, error, expected] of table) test(`error text: ${name}`, () => assert.equal(describeError(error), expected));

test('a chain that bites its own tail ends', () => {
  const first = new Error('first');
  first.cause = new Error('second', { cause: first });
  assert.equal(describeError(first), 'Error: first\n\nCaused by:\n    second');
});
