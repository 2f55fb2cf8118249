import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openSource } from '../../../src/oci/source/open.js';
import type { Platform } from '../../../src/spec/platform.js';
import { newLayout, sha256, tarOf, TYPES, type Described, type Layout } from '../../support/images/source-layout.js';

const TAR = tarOf({ file: 'x'.repeat(100) });

/** An image of a platform, which its descriptor names or only its config. */
function image(layout: Layout, text: string, where: 'descriptor' | 'config' = 'descriptor'): Described {
  const [os = '', architecture = '', variant] = text.split('/');
  const platform = { os, architecture, ...(variant && { variant }) };
  const descriptor = layout.image([{ tar: TAR }], platform);
  return where === 'config' ? descriptor : { ...descriptor, platform };
}

async function chosen(layout: Layout, text: string): Promise<string> {
  const [os = '', architecture = '', variant] = text.split('/');
  const platform: Platform = { os, architecture, ...(variant && { variant }) };
  await using source = await openSource(`oci:${layout.path}`, { platform });
  return sha256(source.manifest);
}

const cases: [wanted: string, listed: string[], expected: number | 'PLATFORM'][] = [
  ['linux/arm64', ['linux/amd64', 'linux/arm64'], 1],
  ['linux/arm64', ['windows/arm64', 'linux/arm64/v8'], 1],
  ['linux/arm64', ['linux/arm64/v9', 'linux/arm64/v8'], 1],
  ['linux/arm', ['linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6'], 1],
  ['linux/arm/v6', ['linux/arm/v7', 'linux/arm/v6'], 1],
  ['linux/arm/v6', ['linux/arm/v7'], 'PLATFORM'],
  ['linux/amd64', ['linux/amd64/v3', 'linux/amd64'], 1],
  ['linux/amd64', ['linux/386', 'linux/amd64/v3'], 1],
  ['linux/amd64', ['unknown/unknown', 'linux/amd64'], 1],
  ['linux/s390x', ['linux/amd64', 'linux/arm64'], 'PLATFORM'],
];
for (const [wanted, listed, expected] of cases) {
  for (const where of ['descriptor', 'config'] as const) {
    test(`of ${listed.join(' and ')}, said by the ${where}, ${wanted} takes ${expected}`, async (t: TestContext) => {
      const layout = newLayout(t);
      const images = listed.map((text) => image(layout, text, where));
      layout.publish({ all: layout.index(images) });
      if (expected === 'PLATFORM')
        await assert.rejects(chosen(layout, wanted), { code: 'PLATFORM', message: new RegExp(listed.join(', ')) });
      else assert.equal(await chosen(layout, wanted), images[expected]?.digest);
    });
  }
}

test('indexes in indexes are looked through, attestations and unknown types passed over', async (t) => {
  const layout = newLayout(t);
  const wanted = image(layout, 'linux/arm64');
  const attestation = { ...layout.artifact(['{}']), platform: { os: 'unknown', architecture: 'unknown' } };
  const other = layout.put('?', 'application/vnd.example');
  layout.publish({ all: layout.index([other, attestation, layout.index([layout.index([wanted, attestation])])]) });
  assert.equal(await chosen(layout, 'linux/arm64'), wanted.digest);
});

test('one image for several platforms is taken for each of them', async (t) => {
  const layout = newLayout(t);
  const same = layout.image([{ tar: TAR }], { os: 'linux', architecture: 'amd64' });
  const listed = ['amd64', 'arm64', 's390x'].map((architecture) => ({
    ...same,
    platform: { os: 'linux', architecture },
  }));
  layout.publish({ all: layout.index([image(layout, 'linux/386'), { ...same, platform: {} }, ...listed]) });
  for (const architecture of ['amd64', 'arm64', 's390x'])
    assert.equal(await chosen(layout, `linux/${architecture}`), same.digest);
  await assert.rejects(chosen(layout, 'linux/arm'), {
    code: 'PLATFORM',
    message: /linux\/386, linux\/amd64, linux\/arm64, linux\/s390x/,
  });
});

test('the first of two images for one platform in an index is meant', async (t) => {
  const layout = newLayout(t);
  const first = image(layout, 'linux/arm64');
  const second = {
    ...layout.image([{ tar: TAR }], { os: 'linux', architecture: 'arm64', created: '2026-01-01T00:00:00Z' }),
    platform: first['platform'],
  };
  layout.publish({ all: layout.index([first, second]) });
  assert.equal(await chosen(layout, 'linux/arm64'), first.digest);
});

test('indexes nested too deep, or with too much in them, are refused', async (t) => {
  const layout = newLayout(t);
  let deep = image(layout, 'linux/arm64');
  for (let depth = 0; depth < 10; depth++) deep = layout.index([deep]);
  await assert.rejects(chosen(layout.publish({ deep }), 'linux/arm64'), { code: 'INDEX_INVALID', message: /deep/ });
  let wide = layout.index(Array.from({ length: 101 }, () => image(layout, 'linux/arm64')));
  for (let depth = 0; depth < 3; depth++) wide = layout.index(Array.from({ length: 100 }, () => wide));
  await assert.rejects(chosen(layout.publish({ wide }), 'linux/arm64'), {
    code: 'INDEX_INVALID',
    message: /manifests/,
  });
});

test('an index that says it is something else is refused', async (t) => {
  const layout = newLayout(t);
  const index = {
    ...layout.index([image(layout, 'linux/arm64')]),
    mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json',
  };
  await assert.rejects(chosen(layout.publish({ index }), 'linux/arm64'), { code: 'MEDIA_TYPE' });
});

test('a docker manifest list is an index', async (t) => {
  const layout = newLayout(t);
  const wanted = image(layout, 'linux/arm64');
  const type = 'application/vnd.docker.distribution.manifest.list.v2+json';
  layout.publish({
    all: layout.putJson({ schemaVersion: 2, mediaType: type, manifests: [image(layout, 'linux/amd64'), wanted] }, type),
  });
  assert.equal(await chosen(layout, 'linux/arm64'), wanted.digest);
  assert.equal(wanted.mediaType, TYPES.manifest);
});
