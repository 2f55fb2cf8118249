import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStoreDestination, parseStoreDestination } from '../../../src/oci/store/destination.js';

const store = { options: [], driver: 'overlay', graphroot: '/srv/storage', runroot: '/run/x' };

for (const [text, wanted] of [
  ['containers-storage:localhost/web:1', { store: undefined, name: 'localhost/web:1' }],
  ['containers-storage:debian', { store: undefined, name: 'docker.io/library/debian:latest' }],
  ['containers-storage:[overlay@/srv/storage+/run/x]debian:12', { store, name: 'docker.io/library/debian:12' }],
  ['containers-storage:[overlay@/srv/storage+/run/x]', { store, name: undefined }],
  ['containers-storage:', { store: undefined, name: undefined }],
] as const)
  test(`${text} is taken apart`, () => {
    assert.ok(isStoreDestination(text));
    assert.deepEqual(parseStoreDestination(text), wanted);
  });

for (const text of [
  'containers-storage:[/srv/storage',
  'containers-storage:[relative]a',
  'containers-storage:UPPER',
  `containers-storage:${'1'.repeat(64)}`,
  `containers-storage:sha256:${'1'.repeat(64)}`,
  `containers-storage:a@${'1'.repeat(64)}`,
  `containers-storage:a:1@sha256:${'1'.repeat(64)}`,
])
  test(`${text} cannot be the name of an image`, () => {
    assert.throws(() => parseStoreDestination(text), { code: 'BAD_REFERENCE' });
  });

test('other places are not in a store', () => {
  assert.ok(!isStoreDestination('oci:containers-storage:'));
});
