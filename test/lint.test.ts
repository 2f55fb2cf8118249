// Each check of `make lint` finds what it is for.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scratch } from './support/scratch.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CONFIGURATION = ['.oxlintrc.json', 'knip.jsonc', 'biome.json', '.clang-format', 'tsconfig.json'];
const TOOLS = ['oxlint', 'knip', 'biome'];
const lacking = TOOLS.filter((name) => !existsSync(join(root, 'node_modules/.bin', name)));
const skip = lacking.length > 0 && `these packages are not installed: ${lacking.join(', ')}`;
const formatsNative = spawnSync('clang-format', ['--version']).status === 0;

/** What the checks say about these files, and nothing else. */
function lint(t: TestContext, files: Readonly<Record<string, string>>): { status: number | null; output: string } {
  const folder = scratch(t, files);
  for (const name of CONFIGURATION) copyFileSync(join(root, name), join(folder, name));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'scripts/lint.mjs'), folder], {
    encoding: 'utf8',
  });
  return { status, output: stdout };
}

const good = {
  'package.json': JSON.stringify({ name: 'planted', type: 'module', exports: './dist/src/index.js' }, null, 2) + '\n',
  'src/index.ts': "export { one } from './one.js';\n",
  'src/one.ts': 'export const one = 1;\n',
  'native/one.cc': 'int one() { return 1; }\n',
};

const planted: readonly [what: string, files: Readonly<Record<string, string>>, finding: RegExp][] = [
  [
    'a promise that nobody waits for',
    { 'src/one.ts': 'export async function one(): Promise<void> {}\none();\n' },
    /no-floating-promises/,
  ],
  [
    'a promise where a yes or no is due',
    {
      'src/one.ts': 'async function yes(): Promise<boolean> {\n  return true;\n}\nexport const one = yes() ? 1 : 2;\n',
    },
    /no-misused-promises/,
  ],
  ['an await of what is no promise', { 'src/one.ts': 'export const one = await 1;\n' }, /await-thenable/],
  ['any', { 'src/one.ts': 'export const one: any = 1;\n' }, /no-explicit-any/],
  [
    'a circle of imports, of types also',
    {
      'src/one.ts': "import type { Two } from './two.js';\nexport const one: Two = 1;\n",
      'src/two.ts': "import type { one } from './one.js';\nexport type Two = number | typeof one;\n",
    },
    /no-cycle/,
  ],
  [
    'an export that nobody imports',
    { 'src/one.ts': 'export const one = 1;\nexport const two = one;\n' },
    /Unused exports/,
  ],
  ['a file that nobody imports', { 'src/two.ts': 'export const two = 2;\n' }, /Unused files/],
  ['TypeScript in another format', { 'src/one.ts': 'export const one = "1"\n' }, /format of TypeScript/],
  [
    'a line that is too long',
    { 'src/one.ts': `export const one =\n  '${'long '.repeat(30)}';\n` },
    /one\.ts:2: 155 characters/,
  ],
  [
    'another dialect',
    {
      'src/one.ts': 'export class One {\n  private one = 1;\n  next = (): number => (this.one += 1);\n}\n',
      'src/index.ts': "export { One } from './one.js';\n",
    },
    /one dialect/,
  ],
  ['null', { 'src/one.ts': 'export const one = null;\n' }, /no-null/],
  ['C++ in another format', { 'native/one.cc': 'int one () {return 1;}\n' }, /format of C\+\+/],
];

test('nothing is found where nothing is wrong', { skip }, (t) => {
  const { status, output } = lint(t, good);
  assert.match(output, formatsNative ? /^6 passed, 0 failed, 0 skipped$/m : /^5 passed, 0 failed, 1 skipped$/m);
  assert.equal(status, 0);
});

for (const [what, files, finding] of planted)
  test(`${what} is found`, {
    skip: skip || (/C\+\+/.test(what) && !formatsNative && 'clang-format is not here'),
  }, (t) => {
    const { status, output } = lint(t, { ...good, ...files });
    assert.match(output, finding);
    assert.match(output, /^\d passed, 1 failed, \d skipped$/m);
    assert.equal(status, 1);
  });
