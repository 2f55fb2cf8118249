import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bytesOf } from '../../src/bytes.js';
import { openPath, type Fd } from '../../src/fd/fd.js';
import { verityDigest } from '../../src/fsverity/digest.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { attachMount, mountErofs, mountImage, whileAttached } from '../../src/mount/mount.js';
import { openFds } from '../support/open-fds.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { UserNamespace } from '../support/user-namespace.js';
import { filesBelow, walk } from '../support/walk.js';

const fixtures = fileURLToPath(new URL('../../../fixtures/cstor-small', import.meta.url));
const imagePath = join(fixtures, 'images/alpha_v2/erofs/sha512/v1.erofs');

const options = { name: 'test', requireVerity: false, readWrite: false };
const unable = mountingProblem();
let store: SmallStore;
let folder: string;

/** Why images cannot be mounted here, or false. */
function mountingProblem(): string | false {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  const known = readFileSync('/proc/filesystems', 'utf8');
  const missing = ['erofs', 'overlay'].filter((name) => !known.includes(`\t${name}\n`));
  return missing.length > 0 && `the kernel has no ${missing.join(' and no ')}`;
}

before(() => {
  if (unable) return;
  store = unpackSmallStore();
  folder = mkdtempSync(join(dirname(store.graphroot), 'cfsbridge-mount-test-'));
  for (const path of filesBelow(join(store.graphroot, 'overlay'))) {
    const object = join(folder, 'objects', objectPath(verityDigest(readFileSync(path), 'sha512').toString('hex')));
    mkdirSync(dirname(object), { recursive: true });
    copyFileSync(path, object);
  }
  for (const name of ['mnt', 'upper', 'work', 'idmap-upper', 'idmap-work']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'idmap-file'), 'text');
});

after(() => {
  if (unable) return;
  store.remove();
  rmSync(folder, { recursive: true });
});

function openImage(): Fd {
  return openPath(bytesOf(imagePath));
}

function openFolder(name: string): Fd {
  return openPath(bytesOf(join(folder, name)), constants.O_RDONLY | constants.O_DIRECTORY);
}

/** What the kernel's own overlay showed of the same image's layers, in a container. */
function recordedTree(): string[][] {
  const lines = readFileSync(join(fixtures, 'merged/alpha_v2.txt'), 'utf8').split('\n');
  return lines.filter((line) => line.startsWith('/')).map((line) => line.split(' '));
}

test('a mounted image shows the files, owners, times and content that the container had', { skip: unable }, () => {
  using image = openImage();
  using objects = openFolder('objects');
  const mountpoint = join(folder, 'mnt');
  {
    using mount = mountImage(image, objects, options);
    attachMount(mount, bytesOf(mountpoint));
  }
  try {
    // A composefs root has the metadata of /usr, and /run is empty.
    const tree = recordedTree().filter(([path = '']) => path !== '/' && !path.startsWith('/run'));
    for (const [path = '', mode = '', uid, gid, , mtime = '', , , sha256 = ''] of tree) {
      const bytes = path.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
      const found = Buffer.from(`${mountpoint}${bytes}`, 'latin1');
      const stat = lstatSync(found);
      assert.deepEqual([stat.mode.toString(8), `${stat.uid}`, `${stat.gid}`], [mode, uid, gid], path);
      if (mtime !== '-') assert.equal(Math.floor(stat.mtimeMs / 1000), parseInt(mtime), path);
      if (sha256 !== '-') assert.equal(createHash('sha256').update(readFileSync(found)).digest('hex'), sha256, path);
    }
    assert.ok(tree.length > 100);
    assert.throws(() => writeFileSync(join(mountpoint, 'new'), ''), { code: 'EROFS' });
  } finally {
    execFileSync('umount', [mountpoint]);
  }
});

test('with an upper directory a mount can be written to, and the image stays as it is', { skip: unable }, () => {
  using image = openImage();
  using objects = openFolder('objects');
  using upper = openFolder('upper');
  using work = openFolder('work');
  using mount = mountImage(image, objects, { ...options, upper: { upper, work }, readWrite: true });
  writeFileSync(`/proc/self/fd/${mount.number}/usr/new`, 'text');
  assert.equal(readFileSync(join(folder, 'upper/usr/new'), 'utf8'), 'text');
});

test('with a user namespace the files belong to whom it maps their owners to', { skip: unable }, async () => {
  using namespace = await UserNamespace.start('0 100000 4000000000');
  using image = openImage();
  using objects = openFolder('objects');
  using upper = openFolder('idmap-upper');
  using work = openFolder('idmap-work');
  using idmap = openPath(bytesOf(namespace.path));
  using plain = mountImage(image, objects, options);
  using mapped = mountImage(image, objects, { ...options, idmap });
  const usual = [...walk(`/proc/self/fd/${plain.number}/`)].map(({ path }) =>
    path.slice(`/proc/self/fd/${plain.number}`.length),
  );
  assert.ok(usual.length > 50);
  for (const path of usual) {
    const [before, after] = [plain, mapped].map((mount) => lstatSync(`/proc/self/fd/${mount.number}${path}`)) as [
      Stats,
      Stats,
    ];
    assert.deepEqual([after.uid, after.gid], [before.uid + 100000, before.gid + 100000], path);
  }
  // What is copied up keeps the owner that was seen.
  using writable = mountImage(image, objects, { ...options, idmap, upper: { upper, work }, readWrite: true });
  const file = usual.find((path) => lstatSync(`/proc/self/fd/${plain.number}${path}`).isFile()) ?? '';
  chmodSync(`/proc/self/fd/${writable.number}${file}`, 0o600);
  assert.equal(
    lstatSync(join(folder, 'idmap-upper', file)).uid,
    lstatSync(`/proc/self/fd/${mapped.number}${file}`).uid,
  );
});

test('what is no user namespace, or the first one, maps no owners', { skip: unable }, () => {
  using image = openImage();
  using objects = openFolder('objects');
  using file = openPath(bytesOf(join(folder, 'idmap-file')));
  assert.throws(() => mountImage(image, objects, { ...options, idmap: file }), {
    code: 'MOUNT_FAILED',
    message: /not a user namespace/,
  });
  using first = openPath(bytesOf('/proc/self/ns/user'));
  assert.throws(() => mountImage(image, objects, { ...options, idmap: first }), {
    code: 'MOUNT_FAILED',
    message: /user namespace/,
  });
});

test('after an unmount nothing of a mount is left', { skip: unable }, () => {
  const before = readFileSync('/proc/self/mountinfo', 'utf8');
  const mountpoint = join(folder, 'mnt');
  {
    using image = openImage();
    using objects = openFolder('objects');
    using mount = mountImage(image, objects, options);
    attachMount(mount, bytesOf(mountpoint));
  }
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length, before.split('\n').length + 1);
  execFileSync('umount', [mountpoint]);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), before);
});

test('an image passes through a temporary directory and leaves none behind', { skip: unable }, () => {
  using image = openImage();
  using erofs = mountErofs(image);
  const path = whileAttached(erofs, (at) => {
    assert.ok(statSync(join(at, 'usr')).isDirectory());
    return at;
  });
  assert.throws(() => statSync(path), { code: 'ENOENT' });
});

test('failed mounts say why and leave no descriptor open', { skip: unable }, () => {
  const junk = join(folder, 'junk');
  writeFileSync(junk, 'x'.repeat(8192));
  using image = openImage();
  using notAnImage = openPath(bytesOf(junk));
  using objects = openFolder('objects');
  const before = openFds();
  assert.throws(() => mountImage(notAnImage, objects, options), { code: 'MOUNT_FAILED', message: /no EROFS image/ });
  assert.throws(() => mountImage(image, notAnImage, options), {
    code: 'MOUNT_FAILED',
    message: /the kernel says: .*not a directory/,
  });
  using mount = mountImage(image, objects, options);
  assert.throws(() => attachMount(mount, bytesOf(join(folder, 'nowhere'))), { code: 'ENOENT' });
  mount.close();
  assert.deepEqual(openFds(), before);
});
