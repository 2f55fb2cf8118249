import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../../src', import.meta.url));
/** What finds references, and the folders that may import it besides the one that owns it. */
const FINDERS: Readonly<Record<string, readonly string[]>> = {
  'image-references.js': ['repository/object-graph'],
  'image-marks.js': ['repository/object-graph'],
};

test('what a stored object refers to is asked in one place', () => {
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => {
      const text = readFileSync(join(src, path), 'utf8');
      return Object.entries(FINDERS).flatMap(([module, folders]) =>
        text.includes(`/${module}'`) && !folders.some((folder) => path.startsWith(`${folder}/`))
          ? [`${path} imports ${module}`]
          : [],
      );
    });
  assert.deepEqual(found, []);
});
