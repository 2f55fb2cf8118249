// Writing into an ordinary user's store.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lchownSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { baseLayerFolder, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { ROOTLESS, RootlessUser, SUBORDINATE, whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';
import { walk } from '../support/walk.js';

const NAME = 'localhost/mapped:latest';
const program = fileURLToPath(new URL('./copy-image.program.js', import.meta.url));
/** User 1000 of the image is the thousandth of the subordinate ids, as user 1 is the first. */
const OTHER = SUBORDINATE + 999;

const LAYER: MadeLayer = {
  entries: [
    { name: 'etc/', type: '5', mode: 0o755 },
    { name: 'etc/shadow', mode: 0, gid: 1, content: Buffer.alloc(5000, 's') },
    { name: 'home/', type: '5', mode: 0o700, uid: 1000, gid: 1000 },
    { name: 'home/file', mode: 0o600, uid: 1000, gid: 1000, content: Buffer.alloc(5000, 'h') },
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/sudo', mode: 0o4755, content: Buffer.alloc(5000, 'x') },
    { name: 'bin/.wh.gone', content: Buffer.alloc(0) },
  ],
};

interface Copied {
  id: string;
  existed: boolean;
  layers: { reused: boolean }[];
  found?: string;
}

describe("a user's store is written into", { skip: whyNoRootlessUser() }, () => {
  let user: RootlessUser;
  let from: string;
  before(() => {
    user = new RootlessUser();
    from = join(user.home, 'from');
    makeStore(from, [{ name: NAME, layers: [LAYER] }]);
    execFileSync('chown', ['-R', `${ROOTLESS}:${ROOTLESS}`, from]);
    const diff = baseLayerFolder(from, LAYER);
    // As podman has unpacked it.
    lchownSync(join(diff, 'etc/shadow'), ROOTLESS, SUBORDINATE);
    chmodSync(join(diff, 'etc/shadow'), 0);
    for (const name of ['home/file', 'home']) lchownSync(join(diff, name), OTHER, OTHER);
    chmodSync(join(diff, 'home/file'), 0o600);
    chmodSync(join(diff, 'home'), 0o700);
  });
  after(() => user[Symbol.dispose]());

  test('with the owners that its namespace gives the files, and what is there is found', () => {
    const to = join(user.home, 'deep/down/to');
    const first = copy(to);
    assert.equal(first.existed, false);
    assert.deepEqual(
      first.layers.map(({ reused }) => reused),
      [false],
    );
    const diff = join(to, 'overlay', first.found!, 'diff');
    assert.deepEqual(
      [...walk(diff)]
        .map(({ path }) => {
          const { mode, uid, gid } = lstatSync(path);
          return [path.slice(diff.length + 1), mode.toString(8), uid, gid];
        })
        .sort(),
      [
        ['bin', '40755', ROOTLESS, ROOTLESS],
        ['bin/gone', '20000', ROOTLESS, ROOTLESS],
        ['bin/sudo', '104755', ROOTLESS, ROOTLESS],
        ['etc', '40755', ROOTLESS, ROOTLESS],
        ['etc/shadow', '100000', ROOTLESS, SUBORDINATE],
        ['home', '40700', OTHER, OTHER],
        ['home/file', '100600', OTHER, OTHER],
      ],
    );
    const second = copy(to);
    assert.equal(second.existed, true);
    assert.deepEqual(
      second.layers.map(({ reused }) => reused),
      [true],
    );
    assert.equal(second.id, first.id);
  });

  test('not without a namespace, and then nothing is made', () => {
    const to = join(user.home, 'none');
    const { status, stderr } = run(to, { subuid: '' });
    assert.equal(status, 1);
    assert.match(stderr, /USER_NAMESPACE/);
    assert.match(stderr, /\/etc\/subuid has no line for user/);
    assert.ok(!existsSync(to));
  });

  test('not where the store is none to write into: the error is that of the writer', () => {
    const to = join(user.home, 'vfs');
    for (const name of ['vfs-layers', 'vfs-images', 'vfs'])
      assert.equal(user.run(['mkdir', '-p', join(to, name)]).status, 0);
    const { status, stderr } = run(to);
    assert.equal(status, 1);
    assert.match(stderr, /code: 'UNKNOWN_DRIVER'/);
  });

  test('a layer that its source cannot give leaves nothing', () => {
    const to = join(user.home, 'broken');
    const broken = join(user.home, 'broken-from');
    const layer: MadeLayer = { entries: LAYER.entries.slice(0, 2), claimed: `sha256:${'0'.repeat(64)}` };
    makeStore(broken, [{ name: NAME, layers: [layer] }]);
    execFileSync('chown', ['-R', `${ROOTLESS}:${ROOTLESS}`, broken]);
    const { status, stderr } = run(to, {}, broken);
    assert.equal(status, 1);
    assert.match(stderr, /DigestMismatchError/);
    const left = [...walk(join(to, 'overlay'))].filter((entry) => entry.isFile()).map(({ name }) => name);
    assert.deepEqual(left, ['.has-mount-program']);
  });

  function run(to: string, surroundings: Surroundings = {}, source = from): ReturnType<RootlessUser['run']> {
    return user.run([process.execPath, program, source, NAME, to], surroundings);
  }

  function copy(to: string): Copied {
    const { status, stdout, stderr } = run(to);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Copied;
  }
});
