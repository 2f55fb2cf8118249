import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRegistryReference, showReference, type RegistryReference } from '../../src/spec/reference.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

// What skopeo makes of the same words.
const PARSED: [input: string, expected: RegistryReference, full: string][] = [
  ['//debian', { host: 'docker.io', path: 'library/debian', tag: 'latest' }, 'docker.io/library/debian:latest'],
  ['//debian:12', { host: 'docker.io', path: 'library/debian', tag: '12' }, 'docker.io/library/debian:12'],
  [
    `//debian@${DIGEST}`,
    { host: 'docker.io', path: 'library/debian', digest: DIGEST },
    `docker.io/library/debian@${DIGEST}`,
  ],
  ['//ns/app', { host: 'docker.io', path: 'ns/app', tag: 'latest' }, 'docker.io/ns/app:latest'],
  ['//docker.io/app', { host: 'docker.io', path: 'library/app', tag: 'latest' }, 'docker.io/library/app:latest'],
  ['//index.docker.io/app', { host: 'docker.io', path: 'library/app', tag: 'latest' }, 'docker.io/library/app:latest'],
  ['//localhost/x', { host: 'localhost', path: 'x', tag: 'latest' }, 'localhost/x:latest'],
  ['//localhost:5000/a/b:V1.0_x', { host: 'localhost:5000', path: 'a/b', tag: 'V1.0_x' }, 'localhost:5000/a/b:V1.0_x'],
  ['//[::1]:5000/x', { host: '[::1]:5000', path: 'x', tag: 'latest' }, '[::1]:5000/x:latest'],
  ['//[2001:db8::2]/x/y:1', { host: '[2001:db8::2]', path: 'x/y', tag: '1' }, '[2001:db8::2]/x/y:1'],
  ['//REG/x', { host: 'REG', path: 'x', tag: 'latest' }, 'REG/x:latest'],
  [
    '//reg.example/a__b/c--d/e.f',
    { host: 'reg.example', path: 'a__b/c--d/e.f', tag: 'latest' },
    'reg.example/a__b/c--d/e.f:latest',
  ],
  ['reg.example/x:1', { host: 'reg.example', path: 'x', tag: '1' }, 'reg.example/x:1'],
];

for (const [input, expected, full] of PARSED) {
  test(input, () => {
    assert.deepEqual(parseRegistryReference(input), expected);
    assert.equal(showReference(expected), full);
  });
}

const REFUSED: [input: string, why: RegExp][] = [
  ['//', /empty/],
  [`//a:t@${DIGEST}`, /a tag and a digest/],
  ['//a@sha256:abc', /not a digest/],
  [`//a@${DIGEST}@${DIGEST}`, /not a digest/],
  ['//a@md5:00', /not a digest/],
  ['//Upper', /lower case/],
  ['//reg.example/Upper/x', /lower case/],
  ['//reg.example/', /repository/],
  ['//reg.example//x', /repository/],
  ['//reg.example/../x', /repository/],
  ['//reg.example/a/./b', /repository/],
  ['//reg.example/a..b', /repository/],
  ['//reg.example/a___b', /repository/],
  ['//reg.example/-a', /repository/],
  ['//reg.example/a?x=1', /repository/],
  ['//user:pass@reg.example/x', /not a digest/],
  ['//reg.example:port/x', /host/],
  ['//[::1/x', /host/],
  ['//::1/x', /host/],
  ['//-reg.example/x', /host/],
  ['//x:', /tag/],
  ['//x:-tag', /tag/],
  [`//x:${'t'.repeat(129)}`, /tag/],
  [`//reg.example/${'a'.repeat(250)}`, /255/],
  ['//a b', /repository/],
  ['//a\n', /repository/],
];

for (const [input, why] of REFUSED) {
  test(`refuses ${JSON.stringify(input)}`, () => {
    assert.throws(
      () => parseRegistryReference(input),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'BAD_REFERENCE');
        assert.match(error.message, why);
        return true;
      },
    );
  });
}
