import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImageReference, type ImageReference } from '../../src/storage/reference.js';

const ID = 'ab'.repeat(32);
const DIGEST = `sha256:${ID}`;

const PARSED: [input: string, expected: Omit<ImageReference, 'text'>][] = [
  ['busybox', { repository: 'docker.io/library/busybox', tag: 'latest' }],
  ['containers-storage:busybox:1', { repository: 'docker.io/library/busybox', tag: '1' }],
  ['ns/app', { repository: 'docker.io/ns/app', tag: 'latest' }],
  ['index.docker.io/app', { repository: 'docker.io/library/app', tag: 'latest' }],
  ['localhost/x', { repository: 'localhost/x', tag: 'latest' }],
  ['reg:5000/x', { repository: 'reg:5000/x', tag: 'latest' }],
  ['reg.example/a/b:V1', { repository: 'reg.example/a/b', tag: 'V1' }],
  ['beef', { idPrefix: 'beef', repository: 'docker.io/library/beef', tag: 'latest' }],
  [ID, { idPrefix: ID }],
  [`@${ID}`, { idPrefix: ID }],
  ['app@abc', { repository: 'docker.io/library/app', idPrefix: 'abc' }],
  [DIGEST, { digest: DIGEST }],
  [`app@${DIGEST}`, { repository: 'docker.io/library/app', digest: DIGEST }],
  [`app:1@${DIGEST}`, { repository: 'docker.io/library/app', tag: '1', digest: DIGEST }],
  ['sha256:abc', { repository: 'docker.io/library/sha256', tag: 'abc' }],
  ['[/g]x', { store: { graphroot: '/g', options: [] }, repository: 'docker.io/library/x', tag: 'latest' }],
  [
    '[vfs@/g+/r:a=b,c]x',
    {
      store: { driver: 'vfs', graphroot: '/g', runroot: '/r', options: ['a=b', 'c'] },
      repository: 'docker.io/library/x',
      tag: 'latest',
    },
  ],
  ['[overlay@]x', { store: { driver: 'overlay', options: [] }, repository: 'docker.io/library/x', tag: 'latest' }],
];

for (const [input, expected] of PARSED) {
  test(input, () => {
    const { text, ...rest } = parseImageReference(input);
    assert.ok(input.endsWith(text));
    assert.deepEqual(rest, expected);
  });
}

const REFUSED = [
  '',
  '[/g]',
  '[/g',
  '[relative]x',
  'UPPER',
  'UPPER/x',
  'x/UPPER',
  'a//b',
  'x:',
  'x:-tag',
  'a@xyz',
  'a@ab',
  'localhost/',
  '../x',
  'a b',
];

for (const input of REFUSED) {
  test(`refuses "${input}"`, () =>
    assert.throws(() => parseImageReference(input), { name: 'FormatError', code: 'BAD_REFERENCE' }));
}
