import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bytesOf } from '../../../src/bytes.js';
import { Fd } from '../../../src/fd/fd.js';
import { files } from '../../../src/native.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { fsckRepository } from '../../../src/repository/fsck/fsck.js';
import { initRepository } from '../../../src/repository/init.js';
import type { Meta } from '../../../src/repository/meta.js';
import { changeAlgorithm } from '../../../src/repository/migrate/algorithm.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import { noise } from '../../support/random.js';
import { newFolder, newLayout, tarOf, type Layout } from '../../support/images/source-layout.js';
import { walk } from '../../support/walk.js';

const other: Record<Algorithm, Algorithm> = { sha256: 'sha512', sha512: 'sha256' };

/**
 * A layout with two images that share a layer, and an artifact; one file is 64 bytes long, which is what stays inline.
 */
function layoutOf(t: TestContext): Layout {
  const layout = newLayout(t);
  const base = tarOf({
    'bin/sh': noise(200_000, 'sh'),
    short: noise(64, 'short'),
    medium: noise(65, 'medium'),
    empty: '',
  });
  const top = tarOf({ config: noise(5000, 'config'), big: noise(900_000, 'big') });
  return layout.publish({
    base: layout.image([{ tar: base }]),
    app: layout.image([{ tar: base }, { tar: top }], { config: { Labels: { a: 'b' } } }),
    artifact: layout.artifact([
      'a text that is long enough to become an object, which takes more than sixty-four bytes',
      'short',
    ]),
  });
}

async function filled(t: TestContext, algorithm: Algorithm, layout: Layout): Promise<string> {
  const path = join(newFolder(t), 'repository');
  initRepository(path, { insecure: true, algorithm });
  using repository = await Repository.open(path, { write: true });
  for (const name of ['base', 'app', 'artifact']) {
    await using source = await openSource(`oci:${layout.path}:${name}`);
    await pullImage(repository, source, { name });
  }
  const image = repository.listImages()[0] as string;
  repository.writeRef('images', bytesOf('deep/er/name'), image);
  return path;
}

/**
 * Every name in a repository and what it leads to, and the objects' names; with `verified/`, which tells what need not
 * be hashed again.
 */
function contentOf(path: string): string[] {
  return [...walk(path)]
    .map(
      (entry) => `${entry.path.slice(path.length)}${entry.isSymbolicLink() ? ` -> ${readlinkSync(entry.path)}` : ''}`,
    )
    .sort();
}

async function migrate(
  path: string,
  algorithm: Algorithm,
  onProgress: (objects: number) => void = () => undefined,
): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  await changeAlgorithm(repository, path, algorithm, { onProgress });
}

async function assertSound(path: string): Promise<void> {
  using repository = await Repository.open(path);
  assert.deepEqual((await fsckRepository(repository)).errors, []);
}

for (const from of ['sha256', 'sha512'] as const)
  test(`from ${from} to ${other[from]}: the same repository as pulls into a new one make, and back again`, async (t) => {
    const layout = layoutOf(t);
    const path = await filled(t, from, layout);
    const before = contentOf(path);
    const expected = await filled(t, other[from], layout);
    // The ref names an image by its place in a sorted list, which is another one with other digests.
    for (const repository of [path, expected]) rmSync(join(repository, 'images/refs'), { recursive: true });
    const progress: number[] = [];
    await migrate(path, other[from], (objects) => progress.push(objects));
    assert.ok(
      (progress.at(-1) ?? 0) > 5 && progress.every((objects, index) => objects >= (progress[index - 1] ?? 0)),
      String(progress),
    );
    assert.deepEqual(contentOf(path), contentOf(expected));
    assert.equal(readFileSync(join(path, 'meta.json'), 'utf8'), readFileSync(join(expected, 'meta.json'), 'utf8'));
    await assertSound(path);
    await migrate(path, from);
    assert.deepEqual(
      contentOf(path),
      before.filter((line) => !line.includes('images/refs')),
    );
  });

test('files of images are the same files as before, and refs of images follow their image', async (t) => {
  const path = await filled(t, 'sha256', layoutOf(t));
  const big = [...walk(join(path, 'objects'))].find(
    (entry) => entry.isFile() && lstatSync(entry.path).size === 900_000,
  )!;
  const { ino } = lstatSync(big.path);
  await migrate(path, 'sha512');
  assert.ok([...walk(join(path, 'objects'))].some((entry) => entry.isFile() && lstatSync(entry.path).ino === ino));
  assert.match(readlinkSync(join(path, 'images/refs/deep/er/name')), /^\.\.\/\.\.\/\.\.\/[0-9a-f]{128}$/);
  assert.equal(existsSync(join(path, 'migrating')), false);
});

test('a damaged object ends it, with the old repository as it was', async (t) => {
  const path = await filled(t, 'sha256', layoutOf(t));
  const before = contentOf(path);
  const big = [...walk(join(path, 'objects'))].find(
    (entry) => entry.isFile() && lstatSync(entry.path).size === 900_000,
  )!;
  writeFileSync(big.path, noise(900_000, 'something else'));
  await assert.rejects(migrate(path, 'sha512'), { code: 'DIGEST_MISMATCH' });
  assert.deepEqual(
    contentOf(path).filter((line) => !line.startsWith('/migrating')),
    before,
  );
  // What was begun goes on when the damage is mended.
  writeFileSync(big.path, noise(900_000, 'big'));
  await migrate(path, 'sha512');
  await assertSound(path);
});

test('a collection of garbage removes what an interrupted migration left', async (t) => {
  const path = await filled(t, 'sha256', layoutOf(t));
  const before = contentOf(path);
  mkdirSync(join(path, 'migrating/new/objects/ab'), { recursive: true });
  using repository = await Repository.open(path, { write: true });
  const report = await collectGarbage(repository);
  assert.deepEqual(report.leftovers, ['migrating']);
  assert.deepEqual(contentOf(path), before);
});

test('asked for again, it removes the old repository of one that was killed after its last step', async (t) => {
  const path = await filled(t, 'sha512', layoutOf(t));
  const before = contentOf(path);
  mkdirSync(join(path, 'migrating/old/objects/ab'), { recursive: true });
  const args = ['--repo', path, 'migrate', '--algorithm', 'fsverity-sha512-12'];
  const asked = runCli(args);
  assert.equal(asked.status, 0, asked.stderr);
  assert.equal(existsSync(join(path, 'migrating')), false);
  assert.deepEqual(contentOf(path), before);
  // What somebody is at work in stays.
  mkdirSync(join(path, 'migrating'));
  using busy = new Fd(openSync(join(path, 'migrating'), 'r'));
  assert.equal(files.flock(busy.number, 'exclusive'), true);
  assert.equal(runCli(args).status, 0);
  assert.equal(existsSync(join(path, 'migrating')), true);
});

test('names of files that are no images, and files that are no names, are refused', async (t) => {
  const path = await filled(t, 'sha256', layoutOf(t));
  writeFileSync(join(path, 'streams/notes.txt'), 'mine');
  await assert.rejects(migrate(path, 'sha512'), { code: 'FOREIGN_FILE' });
  rmSync(join(path, 'streams/notes.txt'));
  using repository = await Repository.open(path, { write: true });
  const id = await repository.objects.put(noise(9000, 'no image'));
  await repository.linkImage(id);
  await assert.rejects(changeAlgorithm(repository, path, 'sha512'), { code: 'OBJECT_KIND' });
});

test('a switch that was interrupted anywhere is ended by whoever opens the repository', async (t) => {
  const layout = layoutOf(t);
  const [before, after] = [await filled(t, 'sha256', layout), await filled(t, 'sha512', layout)];
  const expected = contentOf(after);
  const areas = ['objects', 'streams', 'images', 'verified'];
  for (let step = 0; step <= 2 * areas.length; step++) {
    const path = join(newFolder(t), 'repository');
    cpSync(before, path, { recursive: true, verbatimSymlinks: true });
    mkdirSync(join(path, 'migrating/old'), { recursive: true });
    cpSync(after, join(path, 'migrating/new'), { recursive: true, verbatimSymlinks: true });
    const meta = JSON.parse(readFileSync(join(path, 'meta.json'), 'utf8')) as { features: Meta['features'] };
    meta.features.incompatible.push('cfsbridge_migrating');
    writeFileSync(join(path, 'meta.json'), JSON.stringify(meta));
    let left = step;
    for (const area of areas) {
      if (left-- > 0) renameSync(join(path, area), join(path, 'migrating/old', area));
      if (left-- > 0) renameSync(join(path, 'migrating/new', area), join(path, area));
    }
    await assertSound(path);
    assert.deepEqual(contentOf(path), expected);
    assert.deepEqual(
      readdirSync(path).filter((name) => name.startsWith('migrating')),
      [],
    );
  }
});
