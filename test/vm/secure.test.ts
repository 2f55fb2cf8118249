import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullOptions } from '../../src/oci/pull/types.js';
import { initRepository } from '../../src/repository/init.js';
import { objectPath, type Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { noise } from '../support/random.js';
import { cfsctl, run, succeed } from '../interop/peers.js';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { filesBelow } from '../support/walk.js';
import { assertAllSealed, DEVICES, Disk, measure, whyNoCfsctl } from './disks.js';

const CONTENT: Readonly<Record<string, Buffer>> = {
  small: noise(100, 'small'),
  block: noise(4096, 'block'),
  large: noise(1_500_000, 'large'),
  other: noise(20_000, 'other'),
};

let verity: Disk;
before(() => {
  verity = new Disk(DEVICES.verity);
  const layout = new Layout(join(verity.path, 'layout'));
  layout.publish({ image: layout.image([{ tar: tarOf(CONTENT) }]) });
});
after(() => verity[Symbol.dispose]());

function reference(): string {
  return `oci:${verity.path}/layout:image`;
}

async function pull(path: string, from: string, options: PullOptions = {}): Promise<string> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openSource(from);
  const { images } = await pullImage(repository, source, { name: 'image', ...options });
  return [...images.values()][0] as string;
}

function objectOf(repository: string, content: Buffer, algorithm: Algorithm = 'sha512'): string {
  return join(repository, 'objects', objectPath(verityDigest(content, algorithm).toString('hex')));
}

function mounted(repository: string, image: string, check: (folder: string) => void): void {
  const folder = `${repository}.mnt`;
  mkdirSync(folder, { recursive: true });
  const { status, stderr } = runCli(['--repo', repository, 'oci', 'mount', image, folder]);
  assert.equal(status, 0, stderr);
  try {
    check(folder);
  } finally {
    succeed('umount', [folder]);
  }
}

/** Where scripts/vm.sh put a module of the kernel. */
function moduleFile(name: string): string {
  return join('/modules', readdirSync('/modules').find((file) => file.endsWith(`-${name}.ko`)) ?? '');
}

for (const algorithm of ['sha512', 'sha256'] as const)
  describe(`a secure repository, ${algorithm}`, () => {
    let path: string;
    before(async () => {
      path = join(verity.path, algorithm);
      assert.equal(initRepository(path, { algorithm }), 'created');
      await pull(path, reference());
    });

    test('every object and meta.json have fs-verity, with the digests that fsverity-utils measure', () => {
      assert.equal(
        measure(join(path, 'meta.json')),
        `${algorithm}:${verityDigest(readFileSync(join(path, 'meta.json')), algorithm).toString('hex')}`,
      );
      assert.ok(filesBelow(join(path, 'objects')).length >= 8);
      assertAllSealed(path, algorithm);
    });

    test('nobody can write to an object, root included', () => {
      assert.throws(() => writeFileSync(objectOf(path, CONTENT['other'] as Buffer, algorithm), 'x'), { code: 'EPERM' });
    });

    test('the mounted image has the content, and demands fs-verity of it', () => {
      mounted(path, 'image', (folder) => {
        assert.match(
          readFileSync('/proc/self/mountinfo', 'utf8'),
          new RegExp(`${folder} .*composefs:.*verity=require`),
        );
        for (const [name, content] of Object.entries(CONTENT))
          assert.ok(readFileSync(join(folder, 'usr', name)).equals(content));
      });
    });

    test('cfsctl finds it sound and mounts it', { skip: whyNoCfsctl }, () => {
      assert.match(succeed(cfsctl, ['--repo', path, '--require-verity', 'oci', 'fsck']), /^status: ok$/m);
      const folder = `${path}.theirs`;
      mkdirSync(folder);
      succeed(cfsctl, ['--repo', path, '--require-verity', 'oci', 'mount', 'image', folder]);
      assert.ok(readFileSync(join(folder, 'usr/large')).equals(CONTENT['large'] as Buffer));
      succeed('umount', [folder]);
    });

    test('an object without fs-verity is refused, mounted or not, and a pull puts the right one in its place', async () => {
      const content = CONTENT['block'] as Buffer;
      const object = objectOf(path, content, algorithm);
      rmSync(object);
      writeFileSync(object, content);
      mounted(path, 'image', (folder) => assert.throws(() => readFileSync(join(folder, 'usr/block')), { code: 'EIO' }));
      using repository = await Repository.open(path);
      assert.throws(() => repository.objects.open(verityDigest(content, algorithm).toString('hex')), {
        code: 'VERITY_MISMATCH',
      });
      assert.match(runCli(['--repo', path, 'fsck']).stdout, /object-verity-missing/);
      // Another name for the image: a pull that finds everything in place does not look at objects.
      rmSync(join(path, 'verified'), { recursive: true });
      await pull(path, reference());
      assert.match(measure(object) ?? '', new RegExp(algorithm));
    });

    test('a byte that flips on the disk makes reading fail with EIO, and nothing else', () => {
      const object = objectOf(path, CONTENT['large'] as Buffer, algorithm);
      verity.flipByte(object, 1_000_000);
      assert.throws(() => readFileSync(object), { code: 'EIO' });
      mounted(path, 'image', (folder) => {
        assert.throws(() => readFileSync(join(folder, 'usr/large')), { code: 'EIO' });
        for (const name of ['small', 'block', 'other'])
          assert.ok(readFileSync(join(folder, 'usr', name)).equals(CONTENT[name] as Buffer));
      });
    });
  });

test('a repository that cfsctl made secure is secure for us', { skip: whyNoCfsctl }, async () => {
  const path = join(verity.path, 'theirs');
  succeed(cfsctl, ['--repo', path, 'init']);
  using repository = await Repository.open(path, { write: true, requireVerity: true });
  assert.equal(repository.verityRequired, true);
  const id = await repository.objects.put(CONTENT['large'] as Buffer);
  assert.equal(measure(join(path, 'objects', objectPath(id))), `sha512:${id}`);
  assert.match(succeed(cfsctl, ['--repo', path, 'fsck']), /^status: ok$/m);
});

test('without --insecure init needs fs-verity, says so, and leaves no meta.json behind', () => {
  for (const device of [DEVICES.plain, DEVICES.smallBlocks]) {
    using disk = new Disk(device);
    const path = join(disk.path, 'refused');
    const { status, stderr } = runCli(['init', path]);
    assert.equal(status, 1);
    assert.match(stderr, /fs-verity.*(tune2fs -O verity|4096)/s);
    assert.equal(existsSync(join(path, 'meta.json')), false);
  }
});

for (const name of ['plain', 'smallBlocks'] as const)
  test(`an insecure repository works where fs-verity does not: ${name}`, async () => {
    using disk = new Disk(DEVICES[name]);
    const path = join(disk.path, 'insecure');
    initRepository(path, { insecure: true });
    await pull(path, reference());
    assert.match(runCli(['--repo', path, 'oci', 'fsck']).stdout, /^status: ok$/m);
    assert.match(runCli(['--repo', path, '--require-verity', 'oci', 'images']).stderr, /without fs-verity/);
    mounted(path, 'image', (folder) =>
      assert.ok(readFileSync(join(folder, 'usr/large')).equals(CONTENT['large'] as Buffer)),
    );
  });

test('a mount says which part of the kernel is missing', async () => {
  const path = join(verity.path, 'no-erofs');
  initRepository(path, { insecure: true });
  await pull(path, reference());
  const mount = (): string => runCli(['--repo', path, 'oci', 'mount', 'image', verity.path]).stderr;
  for (const [name, said] of [
    ['erofs', /no EROFS .*CONFIG_EROFS_FS/],
    ['overlay', /no overlayfs .*CONFIG_OVERLAY_FS/],
  ] as const) {
    succeed('rmmod', [name]);
    try {
      assert.match(mount(), said);
    } finally {
      succeed('insmod', [moduleFile(name)]);
    }
  }
});

test('an insecure repository has fs-verity on its objects where that works', async () => {
  const path = join(verity.path, 'insecure');
  initRepository(path, { insecure: true });
  assert.equal(measure(join(path, 'meta.json')), undefined);
  await pull(path, reference());
  assertAllSealed(path, 'sha512');
  assert.equal(run('cat', [objectOf(path, CONTENT['large'] as Buffer)]).status, 0);
  assert.equal(lstatSync(path).mode & 0o777, 0o700);
});

test('what init says about ext4 helps', () => {
  succeed('tune2fs', ['-O', 'verity', DEVICES.plain]);
  using disk = new Disk(DEVICES.plain);
  const path = join(disk.path, 'after-all');
  initRepository(path);
  assert.match(measure(join(path, 'meta.json')) ?? '', /^sha512:/);
});
