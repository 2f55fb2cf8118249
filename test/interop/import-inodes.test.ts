// What cfsctl leaves, and what it makes of what we leave.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { LoopFilesystem, whyNoLoop } from '../support/filesystems.js';
import { run, SharedFolder, whyNoPeers } from './peers.js';
import { askCfsctl, assertSound, makeRepository, pullHere, pullWithCfsctl } from './repositories.js';
import { makeSmallStore, SMALL_IMAGE_LINKS, SMALL_IMAGE_OBJECTS } from './small-image.js';

describe('a repository that cfsctl pulled into with hard links', { skip: whyNoPeers() || whyNoLoop('ext4') }, () => {
  let folder: SharedFolder;
  let filesystem: LoopFilesystem;
  let store: string;
  before(() => {
    folder = new SharedFolder();
    makeSmallStore(folder);
    filesystem = new LoopFilesystem('ext4');
    execFileSync('cp', ['-a', join(folder.path, 'store'), filesystem.path]);
    store = join(filesystem.path, 'store');
  });
  after(() => {
    filesystem[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  /** Objects with an inode that is not root's alone, or is setuid. */
  function unsafe(repository: string): string[] {
    const objects = join(repository, 'objects');
    return (readdirSync(objects, { recursive: true }) as string[]).filter((name) => {
      const { uid, mode } = lstatSync(join(objects, name));
      return uid !== 0 || (mode & 0o7022) !== 0;
    });
  }

  function pulledByCfsctl(name: string): string {
    const repository = makeRepository(join(filesystem.path, name));
    const { status, stderr } = pullWithCfsctl(repository, 'localhost/small:latest', 'small', store);
    assert.equal(status, 0, stderr);
    const found = unsafe(repository);
    assert.equal(found.length, SMALL_IMAGE_OBJECTS - SMALL_IMAGE_LINKS, 'cfsctl no longer links whatever there is');
    const { stdout } = run(cfsbridge, ['--repo', repository, 'fsck']);
    for (const object of found) assert.ok(stdout.includes(`fsck: object-unsafe: objects/${object}: `), stdout);
    return repository;
  }

  test('our next pull puts copies in the place of what others may change or execute', async () => {
    const repository = pulledByCfsctl('pulled');
    await pullHere(repository, 'small', { name: 'small' }, store);
    assert.deepEqual(unsafe(repository), []);
    assertSound(repository);
  });

  test('so does a repair', () => {
    const repository = pulledByCfsctl('repaired');
    assert.equal(run(cfsbridge, ['--repo', repository, 'fsck', '--repair']).status, 0);
    assert.deepEqual(unsafe(repository), []);
    assertSound(repository);
  });

  test('cfsctl ignores the staging folder of an import, in fsck and gc', async () => {
    const repository = makeRepository(join(filesystem.path, 'staging'));
    await pullHere(repository, 'small', { name: 'small' }, store);
    const waiting = join(repository, `.staging-${'ab'.repeat(12)}`, 'ab/object');
    mkdirSync(join(waiting, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(waiting, 'content that nobody has verified');
    assertSound(repository);
    const { status, stderr } = askCfsctl(repository, 'gc');
    assert.equal(status, 0, stderr);
    assert.ok(existsSync(waiting));
    assertSound(repository);
  });
});
