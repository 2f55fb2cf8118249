import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** From the bottom to the top: a folder imports from its own group and from those above it in this list. */
const GROUPS = [
  [
    'abortable',
    'bytes',
    'cancel-flag',
    'debug',
    'error-codes',
    'errors',
    'copy-bytes',
    'growing-buffer',
    'layouts',
    'limits',
    'native',
    'proto',
    'version',
    'worker-file',
  ],
  ['fd'],
  ['compress', 'fsverity', 'http', 'spec'],
  ['layer', 'rpc', 'tree'],
  ['erofs'],
  ['registry', 'storage'],
  ['repository'],
  ['boot', 'mount'],
  ['userns'],
  ['oci', 'ostree'],
  ['service'],
  ['cli'],
];

/** Those that only start something, or are the public API. */
const ENTRIES = ['index.ts'];

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.c?ts$/.test(name) && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name));
}

/** The files that each file imports, also those it imports only types from or only when they are needed. */
function importsOf(folder: string): Map<string, string[]> {
  const files = sources(folder);
  const known = new Set(files);
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      const targets = [...text.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*'(\.[^']+)'/g)].map(([, target]) =>
        normalize(join(dirname(file), target!)).replace(/\.(c?)js$/, '.$1ts'),
      );
      return [file, targets.filter((target) => known.has(target))];
    }),
  );
}

/** A way from one of the nodes back to itself. */
function circle(graph: ReadonlyMap<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (node: string): string[] | undefined => {
    if (done.has(node)) return undefined;
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node];
    way.push(node);
    for (const target of graph.get(node) ?? []) {
      const found = visit(target);
      if (found !== undefined) return found;
    }
    way.pop();
    done.add(node);
    return undefined;
  };
  for (const node of graph.keys()) {
    const found = visit(node);
    if (found !== undefined) return found;
  }
  return undefined;
}

const room = (file: string): string => relative('src', file).split('/')[0]!.replace(/\.ts$/, '');

test('arrows between folders go downwards only', () => {
  const rank = (file: string): number => {
    const found = GROUPS.findIndex((group) => group.includes(room(file)));
    assert.notEqual(found, -1, `${file}: its folder has no place in the list`);
    return found;
  };
  const upwards = [...importsOf('src')]
    .filter(([file]) => !ENTRIES.includes(relative('src', file)))
    .flatMap(([file, targets]) =>
      targets
        .filter((target) => ENTRIES.includes(relative('src', target)) || rank(target) > rank(file))
        .map((target) => `${file} imports ${target}`),
    );
  assert.deepEqual(upwards, []);
});

test('folders of one group do not need each other', () => {
  const rooms = new Map<string, Set<string>>();
  for (const [file, targets] of importsOf('src')) {
    if (GROUPS[0]!.includes(room(file)) || ENTRIES.includes(relative('src', file))) continue;
    const others = rooms.get(room(file)) ?? new Set();
    for (const target of targets)
      if (room(target) !== room(file) && !GROUPS[0]!.includes(room(target))) others.add(room(target));
    rooms.set(room(file), others);
  }
  assert.deepEqual(circle(rooms), undefined);
});

for (const folder of ['src', 'test', 'bench'])
  test(`no circle of files in ${folder}`, () => assert.deepEqual(circle(importsOf(folder)), undefined));
