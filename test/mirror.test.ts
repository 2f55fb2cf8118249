// Tests lie where what they test lies: test/ has the folders of src/, and a few of its own.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders that src/ does not have, and what is in them. */
const OTHERS: Readonly<Record<string, string>> = {
  demo: 'a program to look at',
  faults: 'programs that die and peers that lie, at random moments',
  hostile: 'attacks',
  interop: 'against real programs',
  native: 'the addon by itself',
  peers: 'programs in other languages',
  support: 'what several folders need',
  types: 'what the public types promise',
  vm: 'in an emulated machine',
};

test('each folder of tests is a folder of src, or one of those above', () => {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const folders = new Set(files.filter((file) => file.endsWith('.ts')).map(dirname));
  const odd = [...folders].filter(
    (folder) => !((folder.split('/')[0] ?? '') in OTHERS) && !existsSync(join(root, 'src', folder)),
  );
  assert.deepEqual(odd, []);
});

test('there is no folder above that test does not have', () => {
  assert.deepEqual(
    Object.keys(OTHERS).filter((folder) => !existsSync(join(root, 'test', folder))),
    [],
  );
});
