// What the pages say of the sources is true of them.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Names that stand for others, such as `src/oci/source/NAME.ts`. */
const PATTERN = /[*{}…]|[A-Z]{4}/;

function pathsIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  const quoted = [...text.matchAll(/`((?:src|native|test|scripts|fixtures|proto|bench)\/[^`\s]*)`/g)].map(
    ([, path]) => path ?? '',
  );
  return [...new Set(quoted)].filter((path) => !PATTERN.test(path));
}

for (const page of pages)
  test(`each path on ${page} is there`, { skip: !existsSync(join(root, page)) && 'it is not here' }, () =>
    assert.deepEqual(
      pathsIn(page).filter((path) => !existsSync(join(root, path))),
      [],
    ),
  );

test('the pages for newcomers name many', () =>
  assert.ok(pathsIn('docs/architecture.md').length > 40 && pathsIn('docs/security.md').length > 20));

for (const page of pages)
  test(`each link to a page on ${page} leads somewhere`, () => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].map(([, link]) => link ?? '');
    assert.deepEqual(
      links.filter((link) => !existsSync(join(root, page, '..', link))),
      [],
    );
  });
