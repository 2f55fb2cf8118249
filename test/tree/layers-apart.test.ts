// What a layer does to those below it, and what only within itself. The trees are those of podman 5.8 where it unpacks
// the layer (test/interop/layers-apart.test.ts asks it), and the image-spec's rule elsewhere.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TarEntry } from '../../src/layer/entry.js';
import { LayerTree, type MarkOrder } from '../../src/tree/oci-layers.js';
import type { Directory, Node } from '../../src/tree/tree.js';
import { folders, marks } from '../support/layers/layer-cases.js';
import { entry } from './entries.js';

function entryOf(text: string): TarEntry {
  const [path = '', symlink] = text.split(' -> ');
  const [name = '', hardlink] = text.split(' = ');
  if (symlink !== undefined) return entry({ path, type: 'symlink', linkPath: symlink });
  if (hardlink !== undefined) return entry({ path: name, type: 'hardlink', linkPath: hardlink });
  return text.endsWith('/')
    ? entry({ path: text, type: 'directory', mode: 0o700 })
    : entry({ path: text, uid: text.length });
}

function treeOf(layers: readonly (readonly string[])[], marks?: MarkOrder): LayerTree {
  const tree = new LayerTree(marks);
  for (const [index, layer] of layers.entries()) {
    tree.beginLayer(`layer ${index}`);
    for (const text of layer) tree.apply(entryOf(text), { kind: 'empty' });
  }
  return tree;
}

/** Every name below the root; those of directories nobody described have an `!` at the end. */
function namesOf(tree: LayerTree): string[] {
  const names: string[] = [];
  const walk = (directory: Directory, path: string): void => {
    for (const [name, node] of directory.entries) {
      names.push(`${path}${name}${suffix(node)}`);
      if (node.kind === 'directory') walk(node, `${path}${name}/`);
    }
  };
  walk(tree.finish({ xattrs: 'allowlist-only' }), '');
  return names.sort();
}

function suffix(node: Node): string {
  if (node.kind === 'symlink') return ` -> ${node.target}`;
  if (node.kind !== 'directory') return '';
  return node.mode === 0o755 ? '/!' : '/';
}

describe('marks hide what lower layers have', () => {
  for (const { what, layers, names, cfsctl = names, late } of marks) {
    test(what, () => {
      const tree = treeOf(layers);
      assert.deepEqual(namesOf(tree), names);
      assert.equal(tree.lateMark?.entry, late);
      assert.deepEqual(namesOf(treeOf(layers, 'cfsctl')), cfsctl);
    });
  }
  test('the layer of a late mark is told', () =>
    assert.equal(treeOf([['a'], ['b', '.wh.b'], ['c', '.wh.c']]).lateMark?.layer, 'layer 1'));
});

describe('folders of a path', () => {
  for (const { what, layers, names } of folders) test(what, () => assert.deepEqual(namesOf(treeOf(layers)), names));

  const refused: [what: string, layers: string[][], message: RegExp][] = [
    [
      'a link to what the layer does not have',
      [
        ['usr/', 'usr/lib/'],
        ['lib -> usr/lib', 'lib/x'],
      ],
      /leads to "usr\/lib", and the layer has no such directory before it \(layer layer 1, entry "lib\/x"/,
    ],
    ['a link to a file', [['f', 'l -> f', 'l/x']], /leads to "f"/],
    ['a link to itself', [['l -> l', 'l/x']], /more symlinks in its path than are followed/],
    [
      'a chain of 41',
      [['t/', ...Array.from({ length: 41 }, (_, i) => `${i + 1} -> ${i === 0 ? 't' : i}`), '41/x']],
      /more symlinks/,
    ],
    ['a file of the same layer', [['f', 'f/x']], /"f" in its path is no directory/],
  ];
  for (const [what, layers, message] of refused)
    test(`${what} is refused`, () => assert.throws(() => treeOf(layers), { code: 'LAYER_PARENT', message }));
  test('a hard link to what a mark hid is refused', () =>
    assert.throws(() => treeOf([['a'], ['.wh.a', 'b = a']]), { code: 'LAYER_HARDLINK' }));
  test('a hard link to what is behind a new folder is refused', () =>
    assert.throws(
      () =>
        treeOf([
          ['a/', 'a/f'],
          ['a', 'b = a/f'],
        ]),
      { code: 'LAYER_HARDLINK' },
    ));
});
