import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = new URL('../../../', import.meta.url);
const page = readFileSync(new URL('docs/fd-passing.md', root), 'utf8');
const examples = [...page.matchAll(/```js\n([^]*?)```\n+```\n([^]*?)```/g)];

test('every program on the page is followed by its output', () => {
  assert.ok(examples.length > 0);
  assert.equal(examples.length, [...page.matchAll(/^```js$/gm)].length);
});

for (const [, program, output] of examples)
  test(`docs: ${program!.split('\n').find((line) => line.startsWith('const'))}`, async () => {
    // From the package's own folder its name resolves to itself.
    const child = spawn(process.execPath, ['--input-type=module', '-e', program!], { cwd: fileURLToPath(root), stdio: ['ignore', 'pipe', 'pipe'] });
    let [printed, complaints] = ['', ''];
    child.stdout.on('data', (data: Buffer) => (printed += data.toString()));
    child.stderr.on('data', (data: Buffer) => (complaints += data.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    assert.equal(printed, output);
    assert.equal(complaints, '');
    assert.equal(status, 0);
  });
