import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { cfsctl, SharedFolder, succeed, whyNoStore } from './peers.js';
import { assertSound, fixedNamesOf, makeRepository, pullHere, pullReport, pullWithCfsctl } from './repositories.js';

const KILLS = 6;

describe('a repository changes its digest algorithm', { skip: whyNoStore() }, () => {
  let folder: SharedFolder;
  let expected: string;
  let image: string | undefined;
  before(async () => {
    folder = new SharedFolder();
    expected = makeRepository(join(folder.path, 'expected'), 'sha512');
    [image] = [...(await pullHere(expected, 'mid', { name: 'mid' })).images.values()];
  });
  after(() => folder[Symbol.dispose]());

  test('one that cfsctl filled: sound for both programs, with the ids of a pull by cfsctl', async () => {
    const path = makeRepository(join(folder.path, 'theirs'), 'sha256');
    pullReport(pullWithCfsctl(path, 'mid', 'mid'));
    const theirs = makeRepository(join(folder.path, 'theirs-512'), 'sha512');
    pullReport(pullWithCfsctl(theirs, 'mid', 'mid'));
    succeed(cfsctl, ['--repo', path, 'gc']);
    succeed(cfsctl, ['--repo', theirs, 'gc']);
    succeed(cfsbridge, ['--repo', path, 'migrate', '--algorithm', 'fsverity-sha512-12']);
    assertSound(path);
    assert.deepEqual(fixedNamesOf(path), fixedNamesOf(theirs));
    assert.equal(
      succeed(cfsctl, ['--repo', path, 'oci', 'inspect', 'mid', '--config']),
      succeed(cfsctl, ['--repo', theirs, 'oci', 'inspect', 'mid', '--config']),
    );
    // Both go on with it: nothing has to be stored again.
    assert.match(pullReport(pullWithCfsctl(path, 'mid', 'mid'))['objects'] ?? '', /^0 /);
    const again = await pullHere(path, 'mid', { name: 'again' });
    assert.deepEqual(
      again.layers.map(({ stats }) => stats?.copied ?? 0),
      again.layers.map(() => 0),
    );
    assertSound(path);
  });

  test(`killed ${KILLS} times: always sound, the old one or the new one, and complete in the end`, async () => {
    const original = makeRepository(join(folder.path, 'original'), 'sha256');
    await pullHere(original, 'mid', { name: 'mid' });
    const copy = (name: string): string => {
      const path = join(folder.path, name);
      cpSync(original, path, { recursive: true, verbatimSymlinks: true });
      return path;
    };
    const args = (path: string): string[] => ['--repo', path, 'migrate', '--algorithm', 'fsverity-sha512-12'];
    const began = Date.now();
    const timed = copy('timed');
    assert.equal(runCli(args(timed)).status, 0);
    const whole = Date.now() - began;
    let path = copy('killed');
    let killed = 0;
    for (let attempt = 1; killed < KILLS; attempt++) {
      assert.ok(attempt < 3 * KILLS, `${killed} kills`);
      const child = spawn(cfsbridge, [...args(path)], { stdio: 'ignore' });
      const ended = once(child, 'exit');
      await setTimeout((whole * (1 + (attempt % 8))) / 11);
      child.kill('SIGKILL');
      const [status] = (await ended) as [number | null];
      assertSound(path);
      if (status === null) killed++;
      // What it did before it was killed is not done again, so it may have come to its end: on to another one.
      else path = copy(`killed-${attempt}`);
    }
    assert.equal(runCli(args(path)).status, 0);
    assertSound(path);
    assert.deepEqual(fixedNamesOf(path), fixedNamesOf(expected));
    assert.equal(readdirSync(join(path, 'images')).includes(image ?? ''), true);
    assert.deepEqual(
      readdirSync(path).filter((name) => /^\.|migrating/.test(name)),
      [],
    );
  });
});
