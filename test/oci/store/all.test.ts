import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesOfTags } from '../../../src/oci/store/all.js';

for (const [tag, name] of [
  ['localhost/web:1', 'localhost/web:1'],
  ['debian', 'docker.io/library/debian:latest'],
  ['registry:2', 'docker.io/library/registry:2'],
  ['quay.io/fedora/fedora', 'quay.io/fedora/fedora:latest'],
  ['registry.example.com:5000/a/b:c', 'registry.example.com:5000/a/b:c'],
  ['abc', 'docker.io/library/abc:latest'],
  [`localhost/a@sha256:${'1'.repeat(64)}`, `localhost/a@sha256:${'1'.repeat(64)}`],
] as const)
  test(`the tag ${tag} is the name ${name}`, () => {
    assert.deepEqual(namesOfTags([tag]), { named: new Map([[name, tag]]), skipped: [] });
  });

for (const tag of [
  'UPPER',
  'two words',
  'containers-storage:localhost/web:1',
  'docker://docker.io/library/debian:12',
  'oci:/srv/layout',
  `sha256:${'1'.repeat(64)}`,
  '1'.repeat(64),
  `localhost/a:1@sha256:${'1'.repeat(64)}`,
  'localhost/a@abcd',
  'localhost/a:',
  '[overlay@/srv]localhost/a',
  '../a',
])
  test(`the tag ${tag} is no name, and it is said why`, () => {
    const { named, skipped } = namesOfTags([tag]);
    assert.equal(named.size, 0);
    assert.equal(skipped[0]?.name, tag);
    assert.match(skipped[0]?.reason ?? '', /./);
  });

test('of two tags that are one name, the one in full counts', () => {
  for (const tags of [
    ['debian', 'docker.io/library/debian:latest'],
    ['docker.io/library/debian:latest', 'debian'],
  ]) {
    const { named, skipped } = namesOfTags(tags);
    assert.deepEqual([...named], [['docker.io/library/debian:latest', 'docker.io/library/debian:latest']]);
    assert.deepEqual(
      skipped.map(({ name }) => name),
      ['debian'],
    );
  }
});
