// Repositories in which something is not as it should be. Nothing already there may be lost, and the error says what to
// do.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../../support/cli/run-cli.js';
import { LoopFilesystem, TemporaryFolder, whyNoLoop } from '../../support/filesystems.js';
import { filesBelow } from '../../support/walk.js';
import { cfsctl, whyNoPeers } from '../peers.js';
import { makeExample, type Example } from './example.js';
import { stateOf } from './state.js';

const skip = whyNoPeers();
const ADVICE = /pull the image again|fsck/;

let folder: TemporaryFolder;
let example: Example;
before(() => {
  if (skip) return;
  folder = new TemporaryFolder();
  example = makeExample(folder.path, 'sha512');
});
after(() => folder?.[Symbol.dispose]());

/** A copy of the example, in a folder that it does not fill. */
class Copy implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly outside = join(this.#folder.path, 'outside');
  readonly path: string;

  constructor(below: string = this.#folder.path) {
    this.path = join(below, 'repository');
    mkdirSync(this.outside);
    writeFileSync(join(this.outside, 'precious'), 'not of the repository');
    cpSync(example.path, this.path, { recursive: true, verbatimSymlinks: true });
  }

  ask(...args: string[]): ReturnType<typeof runCli> {
    return runCli(['--repo', this.path, ...args]);
  }

  state(): string[] {
    return stateOf(this.path, 'sha512');
  }

  /** Objects of file content: of one size, which no stream and image has. */
  contents(): string[] {
    return filesBelow(join(this.path, 'objects')).filter((file) => lstatSync(file).size === 3000);
  }

  /** Both programs call it sound, but for what a test put there. */
  assertSound(): void {
    for (const program of [cfsctl, undefined]) {
      const { status, stdout } =
        program === undefined
          ? this.ask('oci', 'fsck')
          : spawnSync(program, ['--repo', this.path, 'oci', 'fsck'], { encoding: 'utf8' });
      assert.equal(status, 0, stdout);
    }
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

describe('objects that are missing or have lost their end', { skip }, () => {
  const losses: [what: string, damage: (file: string) => void][] = [
    ['missing', (file) => rmSync(file)],
    ['truncated', (file) => truncateSync(file, 10)],
  ];
  for (const [what, damage] of losses) {
    test(`content ${what}: reading it fails with advice, gc keeps the rest, and a pull brings it back`, () => {
      using copy = new Copy();
      for (const file of copy.contents()) damage(file);
      for (const args of [
        ['oci', 'layer', example.diffIds[0] ?? ''],
        ['cat', `oci-layer-${example.diffIds[0]}`],
      ]) {
        const { status, stderr } = copy.ask(...args);
        assert.equal(status, 1, args.join(' '));
        assert.match(stderr, ADVICE);
      }
      assert.equal(copy.ask('oci', 'fsck').status, 1);
      assert.equal(copy.ask('gc').status, 0);
      for (const name of ['first', 'second', 'artifact'])
        assert.equal(copy.ask('oci', 'pull', `oci:${example.layout.path}:${name}`, `example/${name}:1`).status, 0);
      // The images of the folder are none of the pulls' business.
      for (const name of ['web', 'deep/er'])
        assert.equal(
          copy.ask('create-image', ...(name === 'web' ? [] : ['--no-propagate-usr-to-root']), example.rootfs, name)
            .status,
          0,
        );
      copy.assertSound();
    });

    for (const link of ['layer', 'config', 'manifest'] as const)
      test(`the stream of a ${link} ${what}: commands that need it say so, and a pull brings it back`, () => {
        using copy = new Copy();
        const name = {
          layer: `oci-layer-${example.diffIds[1]}`,
          config: `oci-config-${example.configs.first}`,
          manifest: `oci-manifest-${example.manifests.first}`,
        }[link];
        damage(
          join(
            copy.path,
            'streams',
            execFileSync('readlink', [join(copy.path, 'streams', name)], { encoding: 'utf8' }).trim(),
          ),
        );
        const tags = readdirSync(join(copy.path, 'streams/refs/oci')).sort();
        for (const args of [
          ['cat', name],
          ['oci', 'dump', 'latest'],
        ]) {
          const { status, stderr } = copy.ask(...args);
          assert.equal(status, 1, args.join(' '));
          assert.match(stderr, ADVICE);
        }
        assert.equal(copy.ask('oci', 'images').status, 0);
        const { status, stderr } = copy.ask('gc');
        if (status !== 0) assert.match(stderr, ADVICE);
        assert.deepEqual(readdirSync(join(copy.path, 'streams/refs/oci')).sort(), tags);
        const pulled = copy.ask('oci', 'pull', `oci:${example.layout.path}:first`, 'latest');
        assert.equal(pulled.status, 0, pulled.stderr);
        // What was replaced goes.
        assert.equal(copy.ask('gc').status, 0);
        copy.assertSound();
      });

    test(`an EROFS image ${what}: commands that need it say so`, () => {
      using copy = new Copy();
      damage(join(copy.path, 'objects', example.image.slice(0, 2), example.image.slice(2)));
      const { status, stderr } = copy.ask('image-objects', 'refs/web');
      assert.equal(status, 1);
      assert.match(stderr, ADVICE);
      assert.equal(copy.ask('gc').status, 0);
      assert.equal(copy.ask('create-image', example.rootfs, 'web').status, 0);
      copy.assertSound();
    });
  }
});

describe('what does not belong there', { skip }, () => {
  test('foreign files and folders everywhere: everything works, nothing of them is removed', () => {
    using copy = new Copy();
    const foreign = [
      'objects/README',
      'objects/zz/file',
      'objects/ab/foreign',
      'images/file',
      'images/folder/file',
      'streams/file',
      'streams/folder/file',
      'streams/refs/file',
      'streams/refs/oci/plain',
      'top',
    ];
    for (const name of foreign) {
      mkdirSync(join(copy.path, name, '..'), { recursive: true });
      writeFileSync(join(copy.path, name), 'foreign');
    }
    for (const name of ['objects/pipe', 'streams/pipe', 'images/refs/pipe'])
      execFileSync('mkfifo', [join(copy.path, name)]);
    for (const args of [
      ['images'],
      ['oci', 'images'],
      ['oci', 'inspect', 'latest'],
      ['oci', 'dump', 'latest'],
      ['gc', '-n'],
      ['gc'],
      ['oci', 'pull', `oci:${example.layout.path}:second`, 'new'],
      ['oci', 'tag', example.manifests.first, 'newer'],
    ]) {
      const { status, stderr } = copy.ask(...args);
      assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    }
    const report = copy.ask('oci', 'fsck');
    assert.equal(report.status, 1);
    for (const name of ['objects/ab/foreign', 'images/file', 'streams/file'])
      assert.match(report.stdout, new RegExp(`: ${name}`));
    assert.match(copy.ask('oci', 'inspect', 'plain').stderr, /plain.* is no symlink .* move it away/);
    for (const name of foreign) assert.equal(readFileSync(join(copy.path, name), 'utf8'), 'foreign', name);
    for (const name of foreign) rmSync(join(copy.path, name));
    for (const name of [
      'objects/pipe',
      'streams/pipe',
      'images/refs/pipe',
      'images/folder',
      'streams/folder',
      'objects/zz',
    ])
      rmSync(join(copy.path, name), { recursive: true });
    copy.assertSound();
  });

  test('names that are links out of the repository are not followed, and gc leaves what they lead to', () => {
    using copy = new Copy();
    const target = join(copy.outside, 'precious');
    for (const name of [
      'images/out',
      'streams/out',
      'streams/oci-layer-out',
      'images/refs/out',
      'streams/refs/oci/out',
      'streams/refs/out',
    ])
      symlinkSync(target, join(copy.path, name));
    symlinkSync('loop', join(copy.path, 'streams/loop'));
    for (const args of [
      ['cat', 'out'],
      ['cat', 'refs/out'],
      ['cat', 'loop'],
      ['image-objects', 'out'],
      ['image-objects', 'refs/out'],
      ['oci', 'inspect', 'out'],
    ]) {
      const { status, stdout } = copy.ask(...args);
      assert.deepEqual([status, stdout], [1, ''], args.join(' '));
    }
    assert.equal(copy.ask('gc').status, 0);
    assert.equal(readFileSync(target, 'utf8'), 'not of the repository');
    assert.equal(copy.ask('oci', 'images').status, 0);
  });

  for (const area of ['objects', 'streams', 'images'] as const)
    test(`${area}/ is a link out of the repository: every command refuses, and nothing happens there`, () => {
      using copy = new Copy();
      const outside = join(copy.outside, area);
      renameSync(join(copy.path, area), outside);
      symlinkSync(outside, join(copy.path, area));
      const before = stateOf(copy.outside, 'sha512');
      const about = {
        objects: ['oci', 'dump', 'latest'],
        streams: ['oci', 'tag', example.manifests.first, 'new'],
        images: ['create-image', example.rootfs, 'new'],
      }[area];
      for (const args of [['gc'], ['oci', 'pull', `oci:${example.layout.path}:second`, 'new'], about]) {
        const { status, stderr } = copy.ask(...args);
        assert.equal(status, 1, `${args.join(' ')}: ${stderr}`);
      }
      assert.deepEqual(stateOf(copy.outside, 'sha512'), before);
    });

  test('a folder of objects is a link out of the repository: gc removes nothing there', () => {
    using copy = new Copy();
    const byte = readdirSync(join(copy.path, 'objects'))[0] ?? '';
    renameSync(join(copy.path, 'objects', byte), join(copy.outside, byte));
    symlinkSync(join(copy.outside, byte), join(copy.path, 'objects', byte));
    rmSync(join(copy.path, 'streams'), { recursive: true });
    const files = readdirSync(join(copy.outside, byte));
    copy.ask('gc');
    assert.deepEqual(readdirSync(join(copy.outside, byte)), files);
  });
});

describe('meta.json of a later version', { skip }, () => {
  const changes: [what: string, change: (meta: Record<string, unknown>) => void][] = [
    ['a newer format', (meta) => void (meta['version'] = 2)],
    [
      'an incompatible feature',
      (meta) => void ((meta['features'] as Record<string, unknown>)['incompatible'] = ['new_thing']),
    ],
    ['another algorithm', (meta) => void (meta['algorithm'] = 'fsverity-sha3-12')],
    ['another block size', (meta) => void (meta['algorithm'] = 'fsverity-sha512-16')],
  ];
  for (const [what, change] of changes)
    test(`${what}: every command says so and leaves it alone`, () => {
      using copy = new Copy();
      const file = join(copy.path, 'meta.json');
      const meta = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      change(meta);
      writeFileSync(file, JSON.stringify(meta));
      const before = copy.state();
      for (const args of [
        ['images'],
        ['fsck'],
        ['gc'],
        ['oci', 'images'],
        ['oci', 'untag', 'latest'],
        ['oci', 'pull', `oci:${example.layout.path}:first`, 'new'],
        ['init', '--insecure'],
      ]) {
        const { status, stderr } = copy.ask(...args);
        assert.equal(status, 1, args.join(' '));
        assert.match(stderr, /newer|new_thing|sha3|sha512-16/);
        assert.match(stderr, /program|version|use/);
      }
      assert.deepEqual(copy.state(), before);
    });
});

describe('a disk that fails', { skip: skip || whyNoLoop('ext4') }, () => {
  test('mounted read-only: reading works, writing says why it does not', () => {
    using filesystem = new LoopFilesystem('ext4', 32);
    using copy = new Copy(filesystem.path);
    execFileSync('mount', ['-o', 'remount,ro', filesystem.path]);
    for (const args of [
      ['images'],
      ['oci', 'images'],
      ['oci', 'inspect', 'latest'],
      ['oci', 'dump', 'latest'],
      ['oci', 'fsck'],
      ['gc', '-n'],
      ['image-objects', 'refs/web'],
    ]) {
      const { status, stderr } = copy.ask(...args);
      assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    }
    for (const args of [
      ['oci', 'tag', example.manifests.first, 'new'],
      ['oci', 'untag', 'latest'],
      ['gc'],
      ['create-image', example.rootfs, 'new'],
      ['oci', 'copy', 'example/copy:1', '--from', example.other, '--name', 'new'],
    ]) {
      const { status, stderr } = copy.ask(...args);
      assert.equal(status, 1, args.join(' '));
      assert.match(stderr, /read-only file system/i);
    }
    execFileSync('mount', ['-o', 'remount,rw', filesystem.path]);
    copy.assertSound();
  });

  test('blocks that cannot be read: the error says which object, fsck goes on, gc removes nothing that may be needed', () => {
    using filesystem = new LoopFilesystem('ext4', 32);
    using copy = new Copy(filesystem.path);
    const before = copy.state();
    const layer = example.diffIds[0] ?? '';
    const { stdout: dump } = copy.ask('oci', 'layer', '--dumpfile', layer);
    const contents = copy.contents().filter((file) => dump.includes(file.slice(copy.path.length + '/objects/'.length)));
    // Content that is written last, behind a large file, lies behind everything else.
    filesystem.remount();
    writeFileSync(join(filesystem.path, 'large'), Buffer.alloc(8 << 20, 'x'));
    filesystem.remount();
    for (const file of contents) {
      cpSync(file, `${file}.new`);
      renameSync(`${file}.new`, file);
    }
    const { lost, giveBack } = filesystem.loseEnd(contents);
    const { status, stdout, stderr } = copy.ask('fsck');
    assert.equal(status, 1);
    for (const file of lost) assert.match(stdout, new RegExp(file.slice(copy.path.length + 1)), stderr);
    assert.match(stdout, /cannot read content: Input\/output error/);
    const read = copy.ask('cat', `oci-layer-${layer}`);
    assert.equal(read.status, 1);
    assert.match(read.stderr, /EIO|input\/output error|i\/o error/i);
    giveBack();
    filesystem.remount();
    assert.deepEqual(copy.state(), before);
    assert.ok(existsSync(join(copy.outside, 'precious')));
    copy.assertSound();
  });
});
