import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { openImage } from '../../src/oci/image/image.js';
import { layerContentId } from '../../src/repository/names.js';
import { imageRefs } from '../../src/oci/image/refs.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { writeImage } from '../../src/oci/pull/write-image.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { writeTag } from '../../src/repository/tags.js';
import { recorded, RecordedRepository } from '../support/cli/recorded-repository.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { smallIndex, unpackSmallStore } from '../support/images/small-store.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');
const skip = existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it';

type Program = readonly [string, ...string[]];
const theirs: Program = [cfsctl];
const ours: Program = [cfsbridge];

function run(
  [program, ...first]: Program,
  path: string,
  ...args: string[]
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(program, [...first, '--repo', path, ...args], { encoding: 'utf8' });
}

/** A copy of a repository that is removed after the test. */
function copyOf(t: TestContext, original: string): string {
  const path = mkdtempSync(join(tmpdir(), 'gc-interop-'));
  t.after(() => {
    // Nothing may be mounted there any more, or a failed test would remove what belongs to others.
    spawnSync('umount', ['-q', join(path, 'mnt')]);
    rmSync(path, { recursive: true });
  });
  cpSync(original, path, { recursive: true, verbatimSymlinks: true });
  return path;
}

/** All objects and names, links with their targets; sorted. */
function contentOf(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .map(
      (file) =>
        file.slice(path.length) +
        (existsSync(file) && !file.includes('/objects/') && !file.endsWith('.json') ? ` -> ${readlinkSync(file)}` : ''),
    )
    .sort();
}

function assertSound(path: string): void {
  const { status, stdout } = run(theirs, path, 'oci', 'fsck');
  assert.equal(status, 0, stdout);
}

const lines = (text: string): string[] => text.split('\n').filter((line) => !line.startsWith('Pruned'));

describe('gc by cfsctl and by us', { skip }, () => {
  let recording: RecordedRepository;
  before(async () => {
    recording = await RecordedRepository.create();
  });
  after(() => recording[Symbol.asyncDispose]());

  test('both remove the same and print the same, step by step', (t) => {
    const copies = [copyOf(t, recording.path), copyOf(t, recording.path)] as const;
    const steps = [
      ['gc'],
      ['gc'],
      ['oci', 'untag', 't'],
      ['gc', '--root', layerContentId(recorded.diff_ids[0] ?? ''), '-r', 'nothing'],
      ['gc'],
    ];
    for (const step of steps) {
      const results = [run(theirs, copies[0], ...step), run(ours, copies[1], ...step)] as const;
      assert.deepEqual([results[1].status, results[1].stdout], [results[0].status, results[0].stdout], step.join(' '));
      assert.deepEqual(contentOf(copies[1]), contentOf(copies[0]), step.join(' '));
    }
    assert.match(run(ours, copies[1], 'gc').stdout, /^Objects: 0 removed \(0 bytes\)\n$/);
  });

  test('a dry run changes nothing and counts the same objects', (t) => {
    const path = copyOf(t, recording.path);
    run(theirs, path, 'oci', 'untag', 't');
    const before = contentOf(path);
    assert.deepEqual(lines(run(ours, path, 'gc', '-n').stdout), lines(run(theirs, path, 'gc', '-n').stdout));
    assert.deepEqual(contentOf(path), before);
  });

  test('both remove the same from a repository of many images, whatever is untagged', async (t) => {
    const store = unpackSmallStore();
    t.after(() => store.remove());
    const path = mkdtempSync(join(tmpdir(), 'gc-interop-'));
    t.after(() => rmSync(path, { recursive: true }));
    initRepository(path, { insecure: true });
    const tags: string[] = [];
    {
      using repository = await Repository.open(path, { write: true });
      for (const image of Object.values(smallIndex())) {
        await using source = await openStorageImage(image.image_id, { graphroot: store.graphroot });
        const tag = `tag${tags.length}`;
        try {
          await pullImage(repository, source, { name: tag });
          tags.push(tag);
        } catch {
          // Some images of the store cannot become composefs images; what was pulled of them is garbage.
        }
      }
    }
    assert.ok(tags.length > 10, `${tags.length} images`);
    const copies = [copyOf(t, path), copyOf(t, path)] as const;
    for (let round = 0; tags.length > 0; round++) {
      const results = [run(theirs, copies[0], 'gc'), run(ours, copies[1], 'gc')] as const;
      assert.deepEqual(results[1].stdout, results[0].stdout, `round ${round}`);
      const [found, expected] = [contentOf(copies[1]), contentOf(copies[0])].map((content) =>
        content.filter((line) => !line.startsWith('/verified/')),
      );
      assert.deepEqual(found, expected, `round ${round}`);
      assertSound(copies[1]);
      for (const tag of tags.splice(0, 1 + ((round * 5) % 4)))
        for (const copy of copies) assert.equal(run(theirs, copy, 'oci', 'untag', tag).status, 0);
    }
    // Marks of verification belong to us; with their streams they go, too.
    assert.equal(run(ours, copies[1], 'gc').status, 0);
    assert.deepEqual(contentOf(copies[1]), ['/meta.json']);
  });

  describe('what cfsctl loses and we keep', () => {
    test('the config of a tagged image that another one replaced', async (t) => {
      const path = copyOf(t, recording.path);
      {
        using repository = await Repository.open(path, { write: true });
        const first = await openImage(repository, 't');
        const { configStream } = first;
        const [erofs = ''] = imageRefs(configStream.namedRefs).values();
        const manifest = Buffer.from(JSON.stringify({ ...first.manifest, annotations: { other: 'yes' } }));
        const images = new Map([['composefs.image.boot.v1', erofs]]);
        const other = await writeImage(repository, {
          manifest,
          config: configStream.bytes,
          layers: configStream.namedRefs,
          images,
        });
        writeTag(repository, 'other', other.manifestDigest);
        // This name is our way to make cfsctl keep the config; repositories that only cfsctl wrote to lack it.
        rmSync(join(path, `streams/replaced-${configStream.stream}`));
      }
      const second = copyOf(t, path);
      for (const copy of [path, second]) {
        assert.equal(run(theirs, copy, 'oci', 'inspect', 't').status, 0);
        run(theirs, copy, 'oci', 'untag', 'other');
      }
      assert.equal(run(theirs, path, 'gc').status, 0);
      assert.equal(run(theirs, path, 'oci', 'inspect', 't').status, 1);
      assert.equal(run(ours, second, 'gc').status, 0);
      assert.equal(run(theirs, second, 'oci', 'inspect', 't').status, 0);
      assertSound(second);
    });

    test('the files of a layer whose name is gone', (t) => {
      const [path, second] = [copyOf(t, recording.path), copyOf(t, recording.path)];
      for (const copy of [path, second]) {
        for (const diffId of recorded.diff_ids) rmSync(join(copy, 'streams', layerContentId(diffId)));
        rmSync(join(copy, 'images/refs'), { recursive: true });
      }
      assert.equal(run(theirs, path, 'gc').status, 0);
      assert.equal(run(theirs, path, 'fsck').status, 1);
      assert.equal(run(ours, second, 'gc').status, 0);
      assert.match(run(theirs, second, 'fsck').stdout, /status: ok/);
    });

    test('everything else, when one tag leads nowhere', (t) => {
      const path = copyOf(t, recording.path);
      run(theirs, path, 'oci', 'tag', `sha256:${'0'.repeat(64)}`, 'lost');
      assert.equal(run(theirs, path, 'gc').status, 1);
      const { status, stdout, stderr } = run(ours, path, 'gc');
      assert.deepEqual([status, /^Objects: 3\d\d removed/.test(stdout)], [0, true], stderr);
      assert.match(stderr, /^gc: dangling-ref: streams\/refs\/oci\/lost: /);
      assert.equal(run(theirs, path, 'oci', 'untag', 'lost').status, 0);
      assertSound(path);
    });

    test('everything else, when a foreign file lies among the names', (t) => {
      const path = copyOf(t, recording.path);
      writeFileSync(join(path, 'streams/README'), 'hello');
      assert.equal(run(theirs, path, 'gc').status, 1);
      assert.equal(run(ours, path, 'gc').status, 0);
      assert.ok(existsSync(join(path, 'streams/README')));
    });

    test('a mounted image', (t) => {
      const image = recorded.results.sha512.erofs_versions['1'].images[0] ?? '';
      const copies = [copyOf(t, recording.path), copyOf(t, recording.path)] as const;
      for (const copy of copies) {
        run(theirs, copy, 'oci', 'untag', 't');
        rmSync(join(copy, 'images/refs'), { recursive: true });
        mkdirSync(join(copy, 'mnt'));
        const { status, stderr } = run(theirs, copy, 'mount', '--fuse', 'no', image, join(copy, 'mnt'));
        if (status !== 0) return t.skip(`cfsctl cannot mount here: ${stderr.trim()}`);
      }
      run(theirs, copies[0], 'gc');
      assert.equal(existsSync(join(copies[0], 'images', image)), false);
      const { stderr } = run(ours, copies[1], 'gc');
      assert.match(stderr, new RegExp(`^gc: kept: images/${image}: (open|mounted)$`, 'm'));
      assert.match(run(theirs, copies[1], 'fsck').stdout, /images: 1\/1 ok\nstatus: ok/);
      for (const copy of copies) spawnSync('umount', [join(copy, 'mnt')]);
      assert.match(run(ours, copies[1], 'gc').stdout, /Pruned symlinks: 1 images, 0 streams/);
    });

    test('a mounted image that is mounted by a name it no longer has', (t) => {
      const image = recorded.results.sha512.erofs_versions['1'].images[0] ?? '';
      const path = copyOf(t, recording.path);
      run(theirs, path, 'oci', 'untag', 't');
      mkdirSync(join(path, 'mnt'));
      symlinkSync(`../${image}`, join(path, 'images/refs/now'));
      const { status, stderr } = run(theirs, path, 'mount', '--fuse', 'no', 'refs/now', join(path, 'mnt'));
      if (status !== 0) return t.skip(`cfsctl cannot mount here: ${stderr.trim()}`);
      rmSync(join(path, 'images/refs'), { recursive: true });
      const result = run(ours, path, 'gc', '--json');
      const { images_in_use: inUse } = JSON.parse(result.stdout) as { images_in_use: { image: string; by: string }[] };
      if (inUse.length === 0) return t.skip('this kernel does not tell whether a file is open');
      assert.deepEqual(inUse, [{ image, by: 'open' }]);
      assert.ok(existsSync(join(path, 'images', image)));
    });
  });

  test('a transaction of either program holds off garbage collection by the other, dry runs excepted', async (t) => {
    const path = copyOf(t, recording.path);
    for (const [holder, collector] of [
      [theirs, ours],
      [ours, theirs],
    ] as const) {
      const holding = start(holder, path, 'transaction');
      await locked(path);
      assert.equal(run(collector, path, 'gc', '-n').status, 0);
      const collecting = start(collector, path, 'gc');
      const ended = once(collecting, 'exit');
      await new Promise((resolve) => setTimeout(resolve, 700));
      assert.equal(collecting.exitCode, null);
      holding.kill();
      assert.deepEqual(await ended, [0, null]);
    }
  });
});

function start([program, ...first]: Program, path: string, command: string): ChildProcess {
  return spawn(program, [...first, '--repo', path, command], { stdio: 'ignore' });
}

/** Waits until somebody holds the lock of a repository. */
async function locked(path: string): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20)))
    if (spawnSync('flock', ['-xn', path, 'true']).status !== 0) return;
  assert.fail('nobody takes the lock');
}
