import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { RegistryError } from '../../src/registry/registry-error.js';
import { addToFallback, fallbackTag, listReferrers } from '../../src/registry/referrers.js';
import { listTags } from '../../src/registry/tags.js';
import {
  INDEX,
  destinationOf,
  scriptedRegistry,
  type Fault,
  type ScriptedRegistry,
} from '../support/servers/scripted-registry.js';

const SUBJECT = `sha256:${'a'.repeat(64)}`;
const MEDIA = 'application/vnd.oci.image.manifest.v1+json';

function referrer(
  hex: string,
  artifactType: string,
): { mediaType: string; digest: string; size: number; artifactType: string } {
  return { mediaType: MEDIA, digest: `sha256:${hex.repeat(64)}`, size: 10, artifactType };
}

async function all(server: ScriptedRegistry, t: TestContext): Promise<string[]> {
  const tags: string[] = [];
  for await (const tag of listTags(destinationOf(t, server))) tags.push(tag);
  return tags;
}

function paged(next: (page: number) => string | undefined): Fault {
  return (request, response) => {
    const url = new URL(request.url ?? '', 'http://here');
    if (!url.pathname.endsWith('/tags/list')) return false;
    const page = Number(url.searchParams.get('last') ?? '0');
    const link = next(page);
    if (link !== undefined) response.setHeader('link', link);
    response.end(JSON.stringify({ tags: [`v${page}`] }));
    return true;
  };
}

const LINKS: [name: string, link: (page: number) => string][] = [
  ['relative', (page) => `</v2/a/b/tags/list?n=1000&last=${page + 1}>; rel="next"`],
  [
    'of another host and port, as behind a proxy',
    (page) => `<http://internal.test:5000/v2/a/b/tags/list?n=1000&last=${page + 1}>; rel="next"`,
  ],
  ['without quotes, after another', (page) => `</other>; rel="prev", </v2/a/b/tags/list?last=${page + 1}>; rel=next`],
];
for (const [name, link] of LINKS) {
  test(`tags on pages whose links are ${name}`, async (t) => {
    const server = await scriptedRegistry(t, { fault: paged((page) => (page < 3 ? link(page) : undefined)) });
    assert.deepEqual(await all(server, t), ['v0', 'v1', 'v2', 'v3']);
  });
}

test('a repository without tags', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) =>
      request.url?.includes('/tags/') === true && (response.end('{"name":"a/b","tags":null}'), true),
  });
  assert.deepEqual(await all(server, t), []);
});

const BAD: [name: string, fault: Fault][] = [
  ['that goes in a circle', paged((page) => `<?last=${1 - page}>; rel="next"`)],
  ['that never ends', paged((page) => `<?last=${page + 1}>; rel="next"`)],
  ['whose link is no URL', paged(() => '<http://[>; rel="next"')],
  [
    'with a name that is no tag',
    (request, response) =>
      request.url?.includes('/tags/') === true && (response.end('{"tags":["fine","\\u001b[2J"]}'), true),
  ],
  ['that is a page', (request, response) => request.url?.includes('/tags/') === true && (response.end('<html>'), true)],
];
for (const [name, fault] of BAD) {
  test(`a list of tags ${name} is an error`, async (t) => {
    const server = await scriptedRegistry(t, { fault });
    await assert.rejects(all(server, t), (error: RegistryError) => {
      assert.equal(error.code, 'REGISTRY_ANSWER', String(error));
      assert.doesNotMatch(error.message, /[\x00-\x1f]/);
      return true;
    });
    assert.ok(server.requests.length < 1100);
  });
}

test('referrers from the list, on pages, filtered by the server or not', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => {
      const url = new URL(request.url ?? '', 'http://here');
      if (!url.pathname.includes('/referrers/')) return false;
      const second = url.searchParams.has('page');
      if (!second) response.setHeader('link', `<${url.pathname}?page=2>; rel="next"`);
      response.setHeader('content-type', INDEX);
      response.end(
        JSON.stringify({ schemaVersion: 2, manifests: [second ? referrer('b', 'sbom') : referrer('c', 'signature')] }),
      );
      return true;
    },
  });
  const repository = destinationOf(t, server);
  assert.deepEqual(
    (await listReferrers(repository, SUBJECT)).map(({ artifactType }) => artifactType),
    ['signature', 'sbom'],
  );
  assert.deepEqual(
    (await listReferrers(repository, SUBJECT, 'sbom')).map(({ digest }) => digest),
    [`sha256:${'b'.repeat(64)}`],
  );
});

test('referrers by the tag, where there is no list: none, then one, then two', async (t) => {
  const server = await scriptedRegistry(t);
  const repository = destinationOf(t, server);
  assert.deepEqual(await listReferrers(repository, SUBJECT), []);
  await addToFallback(repository, SUBJECT, referrer('b', 'sbom'));
  await addToFallback(repository, SUBJECT, referrer('c', 'signature'));
  await addToFallback(repository, SUBJECT, referrer('c', 'signature'));
  assert.deepEqual(
    (await listReferrers(repository, SUBJECT)).map(({ artifactType }) => artifactType),
    ['sbom', 'signature'],
  );
  assert.deepEqual(
    (await listReferrers(repository, SUBJECT, 'signature')).map(({ size }) => size),
    [10],
  );
  assert.ok(server.manifests.has(`sha256-${'a'.repeat(64)}`));
});

test('what stands under the tag of referrers and is no index is an error and stays', async (t) => {
  const server = await scriptedRegistry(t);
  server.addManifest({ schemaVersion: 2, layers: [] }, fallbackTag(SUBJECT));
  const repository = destinationOf(t, server);
  await assert.rejects(listReferrers(repository, SUBJECT), { code: 'REGISTRY_ANSWER' });
  await assert.rejects(addToFallback(repository, SUBJECT, referrer('b', 'sbom')), { code: 'REGISTRY_ANSWER' });
});
