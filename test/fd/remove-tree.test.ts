import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openBeneath, openDirectoryPath, type Fd } from '../../src/fd/fd.js';
import { removeTree } from '../../src/fd/remove-tree.js';
import { files } from '../../src/native.js';
import { fastFolder } from '../support/fast-folder.js';
import { openFds, withoutLeak } from '../support/open-fds.js';

const folder = mkdtempSync(join(tmpdir(), 'remove-tree-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const root = process.getuid!() === 0;

/** Folders in folders, each called d, with a file in the last. */
function nest(parent: Fd, depth: number): void {
  let at = parent.duplicate();
  for (let i = 0; i < depth; i++) {
    files.mkdirat(at.number, 'd', 0o755);
    using above = at;
    at = openBeneath(above, 'd');
  }
  files.symlinkat('/nowhere', at.number, 'link');
  at.close();
}

test('files, links, folders and what is not there', async () => {
  await withoutLeak(async () => {
    const outside = join(folder, 'outside');
    mkdirSync(join(folder, 'tree/a/b/c'), { recursive: true });
    mkdirSync(join(folder, 'tree/a/x'));
    mkdirSync(outside);
    writeFileSync(join(outside, 'kept'), '');
    writeFileSync(join(folder, 'tree/a/b/file'), 'content');
    symlinkSync(outside, join(folder, 'tree/a/b/out'));
    symlinkSync(outside, join(folder, 'out'));
    using parent = openDirectoryPath(folder);
    assert.equal(removeTree(parent, 'tree'), true);
    assert.equal(removeTree(parent, 'tree'), false);
    assert.equal(removeTree(parent, 'out'), true);
    assert.deepEqual(readdirSync(folder), ['outside']);
    assert.deepEqual(readdirSync(outside), ['kept']);
  });
});

test('10,000 folders in one another need no more than three descriptors', async (t) => {
  await withoutLeak(async () => {
    const place = mkdtempSync(join(fastFolder, 'deep-'));
    t.after(() => rmSync(place, { recursive: true, force: true }));
    mkdirSync(join(place, 'top'), { recursive: true });
    using parent = openDirectoryPath(place);
    {
      using top = openBeneath(parent, 'top');
      nest(top, 10_000);
    }
    const before = openFds().size;
    let most = 0;
    const { unlinkat } = files;
    files.unlinkat = (...args) => {
      most = Math.max(most, args[0] - before);
      unlinkat(...args);
    };
    try {
      assert.equal(removeTree(parent, 'top'), true);
    } finally {
      files.unlinkat = unlinkat;
    }
    assert.ok(most < 10, `descriptor number ${most} more than before`);
    assert.deepEqual(readdirSync(place), []);
  });
});

for (const at of ['top', 'top/a', 'top/a/b'])
  test(`a mount at ${at} stays`, { skip: root ? false : 'needs root, to mount' }, () => {
    const place = mkdtempSync(join(folder, 'mounted-'));
    const mount = join(place, at);
    mkdirSync(mount, { recursive: true });
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', mount]).status, 0);
    try {
      writeFileSync(join(mount, 'file'), '');
      using parent = openDirectoryPath(place);
      assert.throws(() => removeTree(parent, 'top'), { code: 'OTHER_FILESYSTEM' });
      assert.ok(existsSync(join(mount, 'file')));
    } finally {
      assert.equal(spawnSync('umount', [mount]).status, 0);
    }
  });
