import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { initRepository } from '../../src/repository/init.js';
import { parseMeta } from '../../src/repository/meta.js';
import type { ErofsVersion } from '../../src/erofs/format/options.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { newFolder, newLayout, tarOf } from '../support/images/source-layout.js';

/** A repository with an image, as programs left it that knew no meta.json. */
async function oldRepository(
  t: TestContext,
  algorithm: Algorithm,
  erofsVersion: ErofsVersion,
): Promise<{ path: string; meta: string }> {
  const path = join(newFolder(t), 'repository');
  initRepository(path, { insecure: true, algorithm, erofsVersion });
  const layout = newLayout(t);
  layout.publish({ image: layout.image([{ tar: tarOf({ file: 'text '.repeat(100) }) }]) });
  {
    using repository = await Repository.open(path, { write: true });
    await using source = await openSource(`oci:${layout.path}:image`);
    await pullImage(repository, source, { name: 'image' });
  }
  const meta = readFileSync(join(path, 'meta.json'), 'utf8');
  rmSync(join(path, 'meta.json'));
  return { path, meta };
}

for (const algorithm of ['sha256', 'sha512'] as const)
  for (const version of [1, 2] as const)
    test(`a repository without meta.json gets the one it would have: ${algorithm}, EROFS format ${version}`, async (t) => {
      const { path, meta } = await oldRepository(t, algorithm, version);
      const { status, stdout, stderr } = runCli(['--repo', path, 'oci', 'images', '--json']);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /"image"/);
      assert.equal(
        stderr,
        `Upgraded the repository at ${path}, which had no meta.json: fsverity-${algorithm}-12, EROFS format ` +
          `${version}\n`,
      );
      assert.equal(readFileSync(join(path, 'meta.json'), 'utf8'), meta);
      assert.equal(parseMeta(meta).algorithm, algorithm);
      assert.match(runCli(['--repo', path, 'oci', 'fsck']).stdout, /^status: ok$/m);
    });

test('not with --no-upgrade, not through the library, and not without any object', async (t) => {
  const { path } = await oldRepository(t, 'sha512', 1);
  const { status, stderr } = runCli(['--repo', path, '--no-upgrade', 'images']);
  assert.deepEqual(
    [
      status,
      /meta\.json not found in .*; this repository must be initialized with "cfsbridge --repo \S+ init"/.test(stderr),
    ],
    [1, true],
  );
  await assert.rejects(Repository.open(path), { code: 'NOT_FOUND' });
  assert.equal(existsSync(join(path, 'meta.json')), false);
  rmSync(join(path, 'objects'), { recursive: true });
  for (const prepare of [() => {}, () => mkdirSync(join(path, 'objects/ab'), { recursive: true })]) {
    prepare();
    assert.equal(runCli(['--repo', path, 'images']).status, 1);
    assert.equal(existsSync(join(path, 'meta.json')), false);
  }
});
