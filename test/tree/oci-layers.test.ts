import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printDump } from '../../src/erofs/dumpfile/print.js';
import { writeErofs } from '../../src/erofs/write/writer.js';
import { LayerTree } from '../../src/tree/oci-layers.js';
import { fixture, fixtureJson, fixtureNames, hasFixture } from '../support/fixtures.js';
import { referenceVerity } from '../support/reference-verity.js';
import { dumpedEntries, entry } from './entries.js';

interface Results {
  diff_ids: string[];
  results: {
    sha256: { erofs_versions: Record<string, { compute_id_with_erofs_version_override?: Record<string, string> }> };
  };
}

function printed(tree: LayerTree, xattrs: 'allowlist-only' | 'keep-user-xattrs' = 'allowlist-only'): string {
  return Buffer.concat([...printDump(tree.finish({ xattrs }))]).toString();
}

function treeOf(results: Results): LayerTree {
  const tree = new LayerTree();
  for (const diffId of results.diff_ids) {
    const dump = fixture(`cstor-small/layers/${diffId.slice(7, 23)}/dump.sha256.txt`);
    tree.beginLayer(diffId);
    for (const [one, content] of dumpedEntries(dump)) tree.apply(one, content);
  }
  return tree;
}

for (const image of fixtureNames('cstor-small/images')) {
  const folder = `cstor-small/images/${image}`;
  if (!hasFixture(`${folder}/dump.sha256.txt`)) continue;
  const results = fixtureJson<Results>(`${folder}/results.json`);
  describe(`layers of ${image}`, () => {
    for (const xattrs of ['allowlist-only', 'keep-user-xattrs'] as const) {
      const own = `${folder}/dump-keep-user-xattrs.sha256.txt`;
      const path = xattrs === 'keep-user-xattrs' && hasFixture(own) ? own : `${folder}/dump.sha256.txt`;
      test(`the tree cfsctl dumps, ${xattrs}`, () =>
        assert.equal(printed(treeOf(results), xattrs), fixture(path).toString()));
    }
    test('the image ids cfsctl computes', () => {
      const root = treeOf(results).finish({ xattrs: 'allowlist-only' });
      const ids = results.results.sha256.erofs_versions['1']?.compute_id_with_erofs_version_override;
      assert.ok(ids !== undefined);
      for (const version of [0, 1, 2] as const) {
        assert.equal(referenceVerity(writeErofs(root, { version, algorithm: 'sha256' }), 'sha256'), ids[version]);
      }
    });
  });
}

describe('where cfsctl gives up', () => {
  const empty = { kind: 'empty' } as const;
  const apply = (...entries: Parameters<typeof entry>[0][]): LayerTree => {
    const tree = new LayerTree();
    for (const one of entries) tree.apply(entry(one), empty);
    return tree;
  };
  const lines = (tree: LayerTree): string[] => printed(tree).trimEnd().split('\n');

  test('missing parent directories are made', () => {
    assert.deepEqual(lines(apply({ path: 'x/y/file', mode: 0o600, uid: 7 })), [
      '/ 0 40755 3 0 0 0 0.0 - - -',
      '/x 0 40755 3 0 0 0 0.0 - - -',
      '/x/y 0 40755 2 0 0 0 0.0 - - -',
      '/x/y/file 0 100600 1 7 0 0 0.0 - - -',
    ]);
  });
  test('without /usr the root keeps its own metadata, and gives /run its mtime', () => {
    const tree = apply(
      { path: './', type: 'directory', mode: 0o711, uid: 3, mtimeSec: 9n },
      { path: 'run', type: 'directory', mode: 0o700, mtimeSec: 5n },
      { path: 'run/left' },
    );
    assert.deepEqual(lines(tree), ['/ 0 40711 3 3 0 0 9.0 - - -', '/run 0 40700 2 0 0 0 9.0 - - -']);
  });
  test('a /run that is no directory stays', () => {
    const tree = apply({ path: 'usr', type: 'directory' }, { path: 'run', type: 'symlink', linkPath: 'var/run' });
    assert.match(printed(tree), /^\/run 7 120755 1 0 0 0 0\.0 var\/run - -$/m);
  });
  test('whiteouts below directories that do not exist do nothing', () => {
    assert.deepEqual(lines(apply({ path: 'a/.wh.b' }, { path: 'c/.wh..wh..opq' })), ['/ 0 40755 2 0 0 0 0.0 - - -']);
  });

  const refused: [what: string, code: string, entries: Parameters<typeof apply>][] = [
    ['".." in a path', 'LAYER_PATH', [{ path: 'a/../b' }]],
    ['".." in a hardlink', 'LAYER_PATH', [{ path: 'a' }, { path: 'b', type: 'hardlink', linkPath: '../a' }]],
    ['NUL in a name', 'LAYER_PATH', [{ path: 'a\0b' }]],
    ['a name of 256 bytes', 'LAYER_PATH', [{ path: 'n'.repeat(256) }]],
    ['endless nesting', 'LAYER_PATH', [{ path: 'd/'.repeat(3000) }]],
    ['a file below a file', 'LAYER_PARENT', [{ path: 'a' }, { path: 'a/b' }]],
    [
      'a file through a symlink that leads nowhere',
      'LAYER_PARENT',
      [{ path: 'a', type: 'symlink', linkPath: 'b' }, { path: 'a/b' }],
    ],
    [
      'a hardlink to what comes later',
      'LAYER_HARDLINK',
      [{ path: 'a', type: 'hardlink', linkPath: 'b' }, { path: 'b' }],
    ],
    [
      'a hardlink to a directory',
      'LAYER_HARDLINK',
      [
        { path: 'd', type: 'directory' },
        { path: 'a', type: 'hardlink', linkPath: 'd' },
      ],
    ],
    ['a root that is a file', 'LAYER_ROOT', [{ path: './' }]],
    ['a device number that fits nowhere', 'LAYER_DEVICE', [{ path: 'a', type: 'char', devMajor: 4096 }]],
    ['content that is not there', 'LAYER_CONTENT', [{ path: 'a', size: 5 }]],
  ];
  for (const [what, code, entries] of refused)
    test(`${what} is refused`, () => assert.throws(() => apply(...entries), { code }));

  test('a parent that was replaced is not written to', () => {
    const tree = apply({ path: 'd/a' }, { path: '.wh.d' }, { path: 'd/b' }, { path: 'e/a' }, { path: 'e' });
    assert.throws(() => tree.apply(entry({ path: 'e/b' }), empty), { code: 'LAYER_PARENT' });
    assert.deepEqual(
      lines(tree).map((line) => line.split(' ')[0]),
      ['/', '/d', '/d/a', '/d/b', '/e'],
    );
  });
});
