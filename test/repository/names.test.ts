import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../../src', import.meta.url));
const OWNER = 'repository/names.ts';

/** Names of folders, and beginnings of names, as they stand in a literal. */
const SPELLED: readonly RegExp[] = [
  /['"`](objects|streams|images|refs|verified|quarantine|migrating|meta\.json|\.partial)['"`/]/,
  /(streams|images)\/refs\b/,
  /\boci-(manifest|config|layer|referrers)\b/,
  /['"`/]replaced-/,
  /['"`]config:(\$|['"`])/,
  /['"`/^]\\?\.(symlink|staging|tmp-object)\b/,
];

/** Words that are the same and mean something else, by the files they stand in. */
const OTHERS: Readonly<Record<string, RegExp>> = {
  // commands
  'cli/commands/images.options.ts': /name: 'images'/,
  'cli/commands/oci/images.options.ts': /name: 'images'/,
  'cli/commands/ostree/images.options.ts': /name: 'images'/,
  'cli/composefs-info/options.ts': /INFO_COMMANDS/,
  // folders of OSTree's repositories
  'ostree/http/pull-remote.ts': /refs\/heads/,
  'ostree/http/source.ts': /`objects\//,
  'ostree/local/repository.ts': /openIn\(root, 'objects'|refs\/heads/,
  // members of results
  'oci/pull/make-images.ts': /Pick<PullResult, 'images'|MadeImages\['images'\]/,
  'oci/source/splitfdstream.ts': /ListImagesResult\['images'\]/,
};

test('what things in a repository are called is spelled in one file', () => {
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && path !== OWNER)
    .flatMap((path) =>
      readFileSync(join(src, path), 'utf8')
        .split('\n')
        .map((line, index) => ({ place: `${path}:${index + 1}`, line, other: OTHERS[path] }))
        .filter(({ line }) => !/^\s*(\/\/|\/?\*)/.test(line))
        .filter(({ line, other }) => SPELLED.some((word) => word.test(line)) && other?.test(line) !== true)
        .map(({ place, line }) => `${place}: ${line.trim()}`),
    );
  assert.deepEqual(found, [], `import them from ${OWNER}`);
});
