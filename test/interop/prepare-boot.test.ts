// Machines made to boot an image, by both programs of the same image: what lies on the boot partition afterwards.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { androidHeader, efiProgram } from '../support/images/boot-programs.js';
import { systemTar } from '../support/layers/system-tar.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { cfsctl, run, succeed, whyNoPeers, type Answer } from './peers.js';
import { assertSound, namesOf } from './repositories.js';

const skip = whyNoPeers();
const KERNEL = Buffer.alloc(300_000, 'vmlinuz ');
const INITRAMFS = Buffer.alloc(500_001, 'initramfs ');
const MODULES = 'usr/lib/modules/6.1.0-test';
const OS = {
  'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS \\"7\\""\n',
  'usr/bin/tool': Buffer.alloc(5000, 'tool'),
};
const BESIDE_MODULES = {
  ...OS,
  'boot/config-6.1.0': 'not in the image to boot',
  [`${MODULES}/vmlinuz`]: KERNEL,
  [`${MODULES}/initramfs.img`]: INITRAMFS,
};
const entryText = (options: string): string =>
  'title Of the image\nversion 1\nlinux /usr/lib/k/linux\ninitrd  /usr/lib/k/initrd-1\ninitrd ' +
  `/usr/lib/k/initrd-2\n${options}`;
const LOADER = (options: string): Record<string, string | Buffer> => ({
  ...OS,
  'boot/loader/entries/b.conf': 'title The second\nlinux /usr/lib/k/linux\n',
  'boot/loader/entries/a.conf': entryText(options),
  'usr/lib/k/linux': KERNEL,
  'usr/lib/k/initrd-1': INITRAMFS,
  'usr/lib/k/initrd-2': 'small',
});

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), 'prepare-boot-'))));
after(() => rmSync(folder, { recursive: true }));

type Files = Readonly<Record<string, string | Buffer | null>>;
type Variant = readonly ['sha256' | 'sha512', 1 | 2];

/** One image in a repository of each program, and a boot partition for each. */
class Machines {
  readonly #places: readonly [theirs: string, ours: string];

  constructor(
    readonly name: string,
    files: Files,
    [algorithm, version]: Variant = ['sha256', 1],
  ) {
    const path = mkdtempSync(join(folder, 'machines-'));
    const layout = join(path, 'layout');
    writeLayout(layout, [systemTar(files)]);
    this.#places = [join(path, 'theirs'), join(path, 'ours')];
    for (const place of this.#places) {
      mkdirSync(place);
      succeed(cfsctl, [
        'init',
        '--insecure',
        '--algorithm',
        `fsverity-${algorithm}-12`,
        '--erofs-version',
        String(version),
        join(place, 'repository'),
      ]);
      succeed(cfsctl, ['--repo', join(place, 'repository'), 'oci', 'pull', `oci:${layout}:image`, 'os']);
    }
  }

  repository(whose: 0 | 1): string {
    return join(this.#places[whose], 'repository');
  }

  boot(whose: 0 | 1): string {
    return join(this.#places[whose], 'boot');
  }

  ask(whose: 0 | 1, ...args: string[]): Answer {
    return run([cfsctl, cfsbridge][whose] as string, ['--repo', this.repository(whose), ...args]);
  }

  /**
   * Both end alike, and afterwards the same is on both boot partitions, beside both repositories and among both's
   * images.
   */
  prepare(status: number, ...args: string[]): void {
    const [theirs, ours] = ([0, 1] as const).map((whose) =>
      this.ask(whose, 'oci', 'prepare-boot', 'os', '--bootdir', this.boot(whose), ...args),
    ) as [Answer, Answer];
    assert.deepEqual([theirs.status, ours.status], [status, status], `${this.name}: ${theirs.stderr}\n${ours.stderr}`);
    assert.equal(ours.stdout, theirs.stdout);
    if (status !== 0) return;
    assert.deepEqual(contents(this.boot(1)), contents(this.boot(0)), this.name);
    assert.deepEqual(contents(join(this.#places[1], 'state')), contents(join(this.#places[0], 'state')));
    const images = (whose: 0 | 1): string[] =>
      [...namesOf(this.repository(whose)).keys()].filter((name) => name.startsWith('images/'));
    assert.deepEqual(images(1), images(0));
    for (const whose of [0, 1] as const) assertSound(this.repository(whose));
  }
}

/** All files and folders, and what is in the files; without the two lines that cfsctl always writes the same. */
function contents(path: string): [name: string, content: string | null][] {
  return (readdirSync(path, { recursive: true }) as string[]).sort().map((name) => {
    const file = join(path, name);
    return [
      name,
      statSync(file).isDirectory()
        ? null
        : readFileSync(file, 'latin1').replace(
            /^(# File created by composefs\n)?title .*\nversion .*\n(?=linux \/[^/]*\/vmlinuz\n)/,
            '',
          ),
    ];
  });
}

describe('machines made to boot an image, beside cfsctl', { skip }, () => {
  for (const variant of [
    ['sha512', 1],
    ['sha256', 1],
    ['sha512', 2],
    ['sha256', 2],
  ] as const)
    test(`a kernel beside its modules, ${variant.join(', version ')}`, () => {
      const machines = new Machines('kernel', BESIDE_MODULES, variant);
      machines.prepare(0);
      machines.prepare(
        0,
        '--entry-id',
        'other',
        '--cmdline',
        'rw',
        '--cmdline',
        'console=ttyS0,115200',
        '--cmdline=-- x',
      );
      assert.match(
        readFileSync(join(machines.boot(1), 'loader/entries/other.conf'), 'utf8'),
        /^title Test OS "7"\nversion 6\.1\.0-test\n[^]*\noptions composefs[^ ]* rw console=ttyS0,115200 -- x\n$/,
      );
    });

  for (const options of [
    '',
    'options quiet\n',
    'options quiet  composefs=1234 "a b=1" rw\n',
    'options  composefs.digest=?v1-sha256-12:00\toptions\n',
    'options console=tty0 console=ttyS0\n# comment\noptions x',
  ])
    test(`a loader entry with ${JSON.stringify(options)}`, () => {
      for (const variant of [
        ['sha256', 1],
        ['sha256', 2],
      ] as const) {
        // An argument of the other kind would stay in cfsctl's entry, and the machine boot that image.
        if (options.includes('composefs') && options.includes('digest') === (variant[1] === 2)) continue;
        const machines = new Machines('loader', LOADER(options), variant);
        machines.prepare(0, '--cmdline', 'console=ttyS1');
        machines.prepare(0, '--entry-id', 'os-1', '--cmdline', 'a=1', '--cmdline', 'a=2');
      }
    });

  test('an argument that names another image in the other form is not left in the entry', () => {
    const machines = new Machines('other form', LOADER(`options composefs=${'0'.repeat(64)} quiet\n`));
    for (const whose of [0, 1] as const)
      assert.equal(machines.ask(whose, 'oci', 'prepare-boot', 'os', '--bootdir', machines.boot(whose)).status, 0);
    const [theirs, ours] = ([0, 1] as const).map((whose) =>
      readFileSync(join(machines.boot(whose), 'loader/entries/a.conf'), 'utf8'),
    );
    assert.match(theirs ?? '', /^options composefs=0{64} quiet composefs\.digest=\S+$/m);
    assert.match(ours ?? '', /^options composefs\.digest=\S+ quiet$/m);
  });

  test('a unified kernel image has to boot the image', () => {
    for (const [algorithm, version] of [
      ['sha256', 1],
      ['sha512', 2],
    ] as const) {
      const id = new Machines('to know the digest', OS, [algorithm, version])
        .ask(0, 'oci', 'compute-id', '--bootable', 'os')
        .stdout.trim();
      const program = (line: string): Buffer =>
        efiProgram({ '.linux': KERNEL, '.osrel': 'ID=test\n', '.cmdline': line });
      const digest = version === 2 ? `composefs=${id}` : `composefs.digest=v1-${algorithm}-12:${id}`;
      for (const [path, line, status] of [
        ['boot/EFI/Linux/os.efi', `quiet ${digest}\n`, 0],
        [
          `${MODULES}/os.efi`,
          `composefs.digest=v1-${algorithm === 'sha256' ? 'sha512' : 'sha256'}-12:00 composefs=?${id}`,
          0,
        ],
        ['boot/EFI/Linux/os.efi', `composefs=${id.replace(/./g, '0')}`, 1],
        ['boot/EFI/Linux/os.efi', `composefs=${id}0`, 1],
        ['boot/EFI/Linux/os.efi', `composefs.digest=v3-${algorithm}-12:${id}`, 1],
        ['boot/EFI/Linux/os.efi', 'quiet', 1],
      ] as const) {
        const files = { ...OS, [path]: program(line) };
        // What lies beside the modules is in the image, and would have to contain its own digest.
        if (status === 0 && path.startsWith('usr')) continue;
        const machines = new Machines(`${path} with ${line}`, files, [algorithm, version]);
        machines.prepare(status);
        machines.prepare(status, '--entry-id', 'renamed');
        machines.prepare(1, '--cmdline', 'quiet');
      }
    }
  });

  for (const [why, files] of Object.entries<Files>({
    'nothing to boot with': OS,
    'no initramfs': { ...OS, [`${MODULES}/vmlinuz`]: KERNEL },
    'a unified kernel image without a command line': {
      ...OS,
      'boot/EFI/Linux/a.efi': efiProgram({ '.linux': KERNEL }),
    },
    'a unified kernel image that is text': { ...OS, 'boot/EFI/Linux/a.efi': 'text' },
    'an Android boot image': { ...OS, 'boot/aboot-6.1.img': androidHeader() },
  }))
    test(`${why}: both refuse`, () => new Machines(why, files).prepare(1));

  const android = androidHeader();
  for (const [why, files] of Object.entries<Files>({
    'a loader entry whose kernel is not there': { ...OS, 'boot/loader/entries/a.conf': 'linux /nowhere\n' },
    'a loader entry whose kernel is a folder': { ...OS, 'boot/loader/entries/a.conf': 'linux /usr/bin\n' },
    'a loader entry that leads upwards': {
      ...LOADER(''),
      'boot/loader/entries/a.conf': 'linux /usr/../usr/lib/k/linux\n',
    },
    'a loader entry without a path': { ...OS, 'boot/loader/entries/a.conf': 'linux \n' },
    'a loader entry that is no text': { ...OS, 'boot/loader/entries/a.conf': Buffer.from([0x74, 0xff]) },
    'a loader entry that is a folder': { ...OS, 'boot/loader/entries/a.conf/': null },
    'a loader entry that is a symlink': { ...OS, 'boot/loader/entries/a.conf': null },
    'a file instead of the folder of entries': { ...OS, 'boot/loader/entries': 'x' },
    'a file instead of the folder of modules': { ...OS, 'usr/lib/modules': 'x' },
    'a unified kernel image that is a symlink': { ...OS, 'boot/EFI/Linux/deep/down/a.efi': null },
    'two Android boot images': { ...OS, 'boot/aboot-1.img': android, 'boot/aboot-2.img': android },
    'an Android boot image and a kernel': { ...BESIDE_MODULES, 'boot/aboot-1.img': android },
    'an Android boot image of another version': { ...OS, 'boot/aboot-1.img': androidHeader({ version: 4 }) },
    'an Android boot image with short pages': { ...OS, 'boot/aboot-1.img': androidHeader({ pageSize: 100 }) },
    'an Android boot image without pages': { ...OS, 'boot/aboot-1.img': androidHeader({ pageSize: 0 }) },
    'an Android boot image that ends early': { ...OS, 'boot/aboot-1.img': android.subarray(0, 1659) },
    'an Android boot image without a version': { ...OS, 'boot/aboot-.img': android },
    'something else instead of an Android boot image': { ...OS, 'boot/aboot-1.img': 'x' },
    'a unified kernel image without an initrd in its place': {
      ...OS,
      'boot/aboot-1.img': efiProgram({ '.linux': 'x' }),
    },
    'a unified kernel image with vbmeta in its place': {
      ...OS,
      'boot/aboot-1.img': efiProgram({ '.linux': 'x', '.initrd': 'y' }),
      'boot/vbmeta-1.img': 'v',
    },
    'a vbmeta image alone': { ...OS, 'boot/vbmeta-1.img': 'v' },
  }))
    test(`${why}: both refuse to make a boot image at all`, () => {
      const machines = new Machines(why, files);
      machines.prepare(1);
      const answers = ([0, 1] as const).map((whose) => machines.ask(whose, 'oci', 'compute-id', '--bootable', 'os'));
      assert.deepEqual(
        answers.map(({ status }) => status),
        [1, 1],
        answers.map(({ stderr }) => stderr).join('\n'),
      );
    });

  test('things beside boot entries do no harm', () => {
    const machines = new Machines('others', {
      ...OS,
      'boot/aboot-1.img': android,
      'boot/vbmeta-1.img': 'v',
      'boot/EFI/Linux/all.addon.efi': efiProgram({ '.cmdline': 'quiet' }),
      'boot/loader/entries/readme': null,
      'usr/lib/modules/text': 'x',
      'usr/lib/modules/5/vmlinuz': null,
    });
    for (const whose of [0, 1] as const)
      assert.equal(machines.ask(whose, 'oci', 'compute-id', '--bootable', 'os').status, 0);
  });

  test("cfsctl's image is lost in its next garbage collection, and ours stays", () => {
    const machines = new Machines('loss', BESIDE_MODULES);
    machines.prepare(0);
    const id = machines.ask(0, 'oci', 'compute-id', '--bootable', 'os').stdout.trim();
    for (const whose of [0, 1] as const) assert.ok(namesOf(machines.repository(whose)).has(`images/${id}`));
    for (const whose of [0, 1] as const) succeed(cfsctl, ['--repo', machines.repository(whose), 'gc']);
    assert.equal(
      namesOf(machines.repository(0)).has(`images/${id}`),
      false,
      'cfsctl keeps it now: docs/cfsctl.md says otherwise',
    );
    assert.ok(namesOf(machines.repository(1)).has(`images/${id}`));
    assertSound(machines.repository(1));
    succeed(cfsbridge, ['--repo', machines.repository(0), 'oci', 'prepare-boot', 'os', '--bootdir', machines.boot(0)]);
    for (const program of [cfsctl, cfsbridge]) succeed(program, ['--repo', machines.repository(0), 'gc']);
    assert.ok(namesOf(machines.repository(0)).has(`images/${id}`));
  });

  test('a config given by its digest, and a digest that its stream must have', () => {
    const machines = new Machines('by digest', BESIDE_MODULES);
    const { config } = JSON.parse(JSON.parse(machines.ask(0, 'oci', 'inspect', 'os').stdout).manifest);
    for (const [status, ...args] of [
      [0, `@${config.digest}`],
      [1, `@sha256:${'0'.repeat(64)}`],
      [1, 'nobody'],
      [2],
    ] as const)
      for (const whose of [0, 1] as const) {
        const { status: got, stderr } = machines.ask(
          whose,
          'oci',
          'prepare-boot',
          ...args,
          '--bootdir',
          machines.boot(whose),
        );
        assert.equal(got, status, `${args.join(' ')}: ${stderr}`);
      }
    assert.deepEqual(contents(machines.boot(1)), contents(machines.boot(0)));
    // cfsctl takes no notice of the digest when the image is given by its tag.
    for (const whose of [0, 1] as const)
      assert.equal(
        machines.ask(whose, 'oci', 'prepare-boot', 'os', '00'.repeat(32), '--bootdir', machines.boot(whose)).status,
        whose,
      );
  });
});
