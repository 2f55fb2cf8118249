import assert from 'node:assert/strict';
import { lchownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { makeBelievedDirectory, openBelievedDirectory } from '../../src/fd/believed-path.js';
import { openDirectoryPath } from '../../src/fd/fd.js';
import { withoutLeak } from '../support/open-fds.js';

const folder = mkdtempSync(join(tmpdir(), 'believed-'));
after(() => rmSync(folder, { recursive: true }));
const place = join(folder, 'place');
mkdirSync(join(place, 'inner'), { recursive: true });
symlinkSync('place', join(folder, 'link'));
symlinkSync(`${folder}/link/../place`, join(folder, 'second'));
symlinkSync('loop', join(folder, 'loop'));

function inode(path: string): bigint {
  using fd = openBelievedDirectory(path);
  return fd.stat().ino;
}

test('symlinks of our own lead where they lead', async () => {
  await withoutLeak(async () => {
    const wanted = BigInt(statSync(join(place, 'inner')).ino);
    using open = openDirectoryPath(place);
    for (const path of ['place', 'link', 'second', 'second/../link/.']) {
      assert.equal(inode(join(folder, path, 'inner/')), wanted, path);
      assert.equal(inode(relative(process.cwd(), join(folder, path, 'inner'))), wanted, `relative ${path}`);
      // These lead to the same place in any mount namespace and root folder.
      assert.equal(inode(`/proc/self/root${folder}/${path}/inner`), wanted, `root ${path}`);
    }
    assert.equal(inode(`/proc/self/fd/${open.number}/inner`), wanted);
    assert.equal(inode(`/dev/fd/${open.number}/inner`), wanted);
  });
});

test('what leads nowhere is the usual error', async () => {
  await withoutLeak(async () => {
    assert.throws(() => openBelievedDirectory(join(folder, 'loop')), { code: 'ELOOP' });
    assert.throws(() => openBelievedDirectory(join(folder, 'link/missing')), { code: 'ENOENT' });
    assert.throws(() => openBelievedDirectory('/proc/self/exe'), { code: 'ENOTDIR' });
    assert.throws(() => openBelievedDirectory(''), { code: 'ENOENT' });
  });
});

test('missing folders are made, also behind a link of our own', async () => {
  await withoutLeak(async () => {
    makeBelievedDirectory(join(folder, 'link/made/below'), 0o700).close();
    assert.equal(statSync(join(place, 'made/below')).mode & 0o777, 0o700);
  });
});

const root = process.getuid!() === 0;
test('symlinks of others are not followed', {
  skip: root ? false : 'needs root, to give a symlink to somebody else',
}, async () => {
  await withoutLeak(async () => {
    symlinkSync('place', join(folder, 'theirs'));
    lchownSync(join(folder, 'theirs'), 12345, 12345);
    const error = { code: 'SYMLINK_OWNER', message: /theirs is a symlink of user 12345/ };
    assert.throws(() => openBelievedDirectory(join(folder, 'theirs')), error);
    assert.throws(() => openBelievedDirectory(join(folder, 'theirs/inner')), error);
    assert.throws(() => makeBelievedDirectory(join(folder, 'theirs/other'), 0o755), error);
  });
});
