import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { toBootTree } from '../../../src/boot/boot-tree.js';
import { installBootEntry } from '../../../src/boot/install.js';
import { planBoot } from '../../../src/boot/plan.js';
import { StoredFiles } from '../../../src/boot/stored-files.js';
import { openImage } from '../../../src/oci/image/image.js';
import { namedTree } from '../../../src/oci/image/named-tree.js';
import { prepareBoot } from '../../../src/oci/image/prepare-boot.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { problemsOf } from '../../support/faults/check-repository.js';
import { efiProgram } from '../../support/images/boot-programs.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeLayout } from '../../support/images/oci-layout.js';
import { systemTar } from '../../support/layers/system-tar.js';

const signal = new AbortController().signal;
const MODULES = 'usr/lib/modules/6.1';
const KERNEL = {
  [`${MODULES}/vmlinuz`]: Buffer.alloc(2_000_000, 'kernel'),
  [`${MODULES}/initramfs.img`]: 'small',
  'boot/x': 'x',
};

let folder: string;
before(() => (folder = mkdtempSync(join(fastFolder, 'prepare-boot-'))));
after(() => rmSync(folder, { recursive: true }));

interface Machine {
  repository: Repository;
  path: string;
  boot: string;
  prepare(options?: { entryId?: string; commandLine?: string[] }): ReturnType<typeof prepareBoot>;
}

/** A repository with an image of these files, and an empty boot partition. */
async function withMachine(
  files: Record<string, string | Buffer | null>,
  body: (machine: Machine) => Promise<void>,
  sound = true,
): Promise<void> {
  const place = mkdtempSync(join(folder, 'machine-'));
  const [path, boot, layout] = ['repository', 'boot', 'layout'].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  writeLayout(layout, [systemTar(files)]);
  initRepository(path, { algorithm: 'sha256', insecure: true });
  mkdirSync(boot);
  {
    using repository = await Repository.open(path, { write: true });
    await using source = await openSource(`oci:${layout}`, { signal });
    await pullImage(repository, source, { name: 'os' });
    await body({
      repository,
      path,
      boot,
      prepare: (options) => prepareBoot(repository, path, 'os', { bootFolder: boot, signal, ...options }),
    });
  }
  if (sound) assert.deepEqual(await problemsOf(path), []);
}

const everything = (path: string): string[] => (readdirSync(path, { recursive: true }) as string[]).sort();

test('kernel, entry and state are there, and the image stays', async () => {
  await withMachine(KERNEL, async ({ repository, boot, prepare }) => {
    const prepared = await prepare();
    assert.deepEqual(everything(boot), [
      '6.1',
      '6.1/initramfs.img',
      '6.1/vmlinuz',
      'loader',
      'loader/entries',
      'loader/entries/6.1.conf',
    ]);
    assert.deepEqual(prepared.written, ['/6.1/vmlinuz', '/6.1/initramfs.img', 'loader/entries/6.1.conf']);
    assert.deepEqual(readFileSync(join(boot, '6.1/vmlinuz')), KERNEL[`${MODULES}/vmlinuz`]);
    assert.equal(
      readFileSync(join(boot, 'loader/entries/6.1.conf'), 'utf8'),
      'title Linux\nversion 6.1\nlinux /6.1/vmlinuz\ninitrd /6.1/initramfs.img\noptions ' +
        `composefs.digest=?v1-sha256-12:${prepared.id}\n`,
    );
    assert.equal(statSync(join(boot, '6.1/vmlinuz')).mode & 0o777, 0o644);
    assert.deepEqual(everything(prepared.state), ['etc', 'etc/upper', 'etc/work', 'var']);
    assert.ok([...(await openImage(repository, 'os')).configStream.namedRefs.values()].includes(prepared.id));
    rmSync(prepared.state, { recursive: true });
    await collectGarbage(repository);
    assert.ok(
      repository.hasImage(prepared.id) && repository.objects.has(prepared.id),
      'the tag keeps it, not only the deployment',
    );
  });
});

test('what is there already is not written again, and what is wrong is replaced', async () => {
  await withMachine(KERNEL, async ({ boot, prepare }) => {
    await prepare();
    const kernel = join(boot, '6.1/vmlinuz');
    utimesSync(kernel, 1, 1);
    writeFileSync(join(boot, '6.1/initramfs.img'), 'wrong');
    assert.deepEqual((await prepare()).written, ['/6.1/initramfs.img', 'loader/entries/6.1.conf']);
    assert.equal(statSync(kernel).mtimeMs, 1000);
    assert.equal(readFileSync(join(boot, '6.1/initramfs.img'), 'utf8'), 'small');
    truncateSync(kernel, 1_999_999);
    assert.deepEqual((await prepare({ entryId: '6.1' })).written, ['/6.1/vmlinuz', 'loader/entries/6.1.conf']);
  });
});

test('a damaged kernel does not get to the boot partition, and no entry does', async () => {
  await withMachine(
    KERNEL,
    async ({ repository, path, boot, prepare }) => {
      const root = await namedTree(repository, 'os', undefined, { xattrs: 'allowlist-only', bootable: false, signal });
      const [entry] = toBootTree(root, repository.objects);
      assert.ok(entry?.kind === 'kernel' && entry.vmlinuz.content.kind === 'object');
      const object = join(path, 'objects', objectPath(entry.vmlinuz.content.id));
      const bytes = readFileSync(object);
      bytes[1_234_567]! ^= 1;
      chmodSync(object, 0o644);
      writeFileSync(object, bytes);
      await assert.rejects(prepare(), { code: 'OBJECT_DAMAGED', message: new RegExp(entry.vmlinuz.content.id) });
      assert.deepEqual(everything(boot), ['6.1']);
      rmSync(object);
      await assert.rejects(prepare(), { code: 'NOT_FOUND' });
      assert.deepEqual(everything(boot), ['6.1']);
    },
    false,
  );
});

test('a symlink on the boot partition does not lead out of it', async () => {
  await withMachine(KERNEL, async ({ boot, prepare }) => {
    const outside = join(boot, '../outside');
    mkdirSync(outside);
    symlinkSync('../outside', join(boot, '6.1'));
    await assert.rejects(prepare(), { code: 'EXDEV' });
    assert.deepEqual(readdirSync(outside), []);
    // As with ostree, which keeps two sets of entries.
    mkdirSync(join(boot, 'loader.0'));
    symlinkSync('loader.0', join(boot, 'loader'));
    await prepare({ entryId: 'b' });
    assert.deepEqual(readdirSync(join(boot, 'loader.0/entries')), ['b.conf']);
  });
});

test('a name is a name', async () => {
  await withMachine(KERNEL, async ({ boot, path, prepare }) => {
    for (const entryId of ['', '.', '..', '../x', 'a/b', 'a\nb', 'a\0b', 'a'.repeat(256)])
      await assert.rejects(prepare({ entryId }), { code: 'INVALID_NAME' }, JSON.stringify(entryId));
    for (const argument of ['', 'a\nlinux /b', '\0'])
      await assert.rejects(prepare({ commandLine: [argument] }), { code: 'COMMAND_LINE' }, JSON.stringify(argument));
    assert.deepEqual(everything(boot), []);
    assert.equal(existsSync(join(path, '../state')), false);
  });
});

test('files of an entry that would get the same name are refused', async () => {
  await withMachine(
    {
      'usr/a/k': 'kernel',
      'usr/b/k': 'other',
      'boot/loader/entries/x.conf': 'linux /usr/a/k\ninitrd /usr/b/k\ninitrd /usr/a/k\n',
    },
    async ({ boot, prepare }) => {
      await assert.rejects(prepare({ entryId: 'y' }), { code: 'INVALID_NAME', message: /\/y\/k/ });
      await prepare();
      assert.deepEqual(
        everything(boot).filter((name) => name.endsWith('k')),
        ['usr/a/k', 'usr/b/k'],
      );
    },
  );
});

test('a unified kernel image may boot any of the boot images', async () => {
  const program = (id: string): Buffer => efiProgram({ '.cmdline': `composefs=${id}` });
  await withMachine(
    { 'boot/EFI/Linux/sub/os.efi': program('0'.repeat(64)) },
    async ({ boot, repository, prepare, path }) => {
      const { code, message } = await prepare().then(
        () => assert.fail(),
        (error) => error,
      );
      assert.equal(code, 'WRONG_IMAGE');
      const [id = ''] = /(?<=the image is )[0-9a-f]{64}/.exec(message) ?? [];
      assert.ok(repository.hasImage(id));
      assert.deepEqual(everything(boot), []);
      assert.equal(existsSync(join(path, '../state')), false);
      await withMachine({ 'boot/EFI/Linux/sub/os.efi': program(id) }, async (other) => {
        assert.equal((await other.prepare({ entryId: 'new' })).id, id);
        assert.deepEqual(everything(other.boot).at(-1), 'EFI/Linux/sub/new.efi');
      });
    },
  );
});

test('nothing more is written after an interruption', async () => {
  await withMachine(KERNEL, async ({ repository, boot }) => {
    const root = await namedTree(repository, 'os', undefined, { xattrs: 'allowlist-only', bootable: false, signal });
    const [entry] = toBootTree(root, repository.objects);
    assert.ok(entry);
    const stored = new StoredFiles(repository.objects);
    const plan = planBoot(entry, stored, { entryId: undefined, imageArgument: 'composefs=x', extraArguments: [] });
    await assert.rejects(installBootEntry(boot, plan, stored, AbortSignal.abort(new Error('enough'))), /enough/);
    assert.deepEqual(everything(boot), []);
  });
});
