// A repair that is killed at any moment has made nothing worse, and the next one completes it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { errorOf } from '../../../src/repository/fsck/findings.js';
import { checkObjects, listObjectNames } from '../../../src/repository/fsck/objects.js';
import { Repository } from '../../../src/repository/repository.js';
import { RecordedRepository } from '../../support/cli/recorded-repository.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';
import { generator } from '../../support/faults/kills.js';
import { fastFolder } from '../../support/fast-folder.js';
import { filesBelow } from '../../support/walk.js';

const ROUNDS = 20;
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);

let sound: RecordedRepository;
before(async () => {
  sound = await RecordedRepository.create();
});
after(() => sound[Symbol.asyncDispose]());

test('whatever moment a repair is killed at, what was right stays right, and the next one completes', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const folder = mkdtempSync(join(fastFolder, 'repair-kills-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'repository');
  const began = performance.now();
  damage(path, random);
  assert.equal(runCli(['--repo', path, 'fsck', '--repair', '--from', sound.path]).status, 0);
  const duration = performance.now() - began;

  let during = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { right, wrong } = damage(path, random);
    const child = spawn(cfsbridge, ['--repo', path, 'fsck', '--repair', '--from', sound.path], { stdio: 'ignore' });
    await sleep(random() * duration);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    if (child.signalCode === 'SIGKILL') during++;
    for (const file of right)
      assert.ok(
        readFileSync(join(path, file)).equals(readFileSync(join(sound.path, file))),
        `${file} is not what it was`,
      );
    const damaged = await damagedObjects(path);
    assert.deepEqual(
      damaged.filter((file) => !wrong.includes(file)),
      [],
      'something is damaged that was not before',
    );

    const next = runCli(['--repo', path, 'fsck', '--repair', '--from', sound.path]);
    assert.equal(next.status, 0, next.stdout);
    assert.deepEqual(await damagedObjects(path), []);
    for (const file of wrong)
      if (existsSync(join(path, file)))
        assert.ok(readFileSync(join(path, file)).equals(readFileSync(join(sound.path, file))), file);
    const check = runCli(['--repo', path, 'oci', 'fsck']);
    assert.equal(check.status, 0, check.stdout);
  }
  assert.ok(during >= ROUNDS / 4, `only ${during} of ${ROUNDS} kills hit a repair`);
});

/** Makes a new copy and damages or removes a third of its objects. @returns paths below the repository */
function damage(path: string, random: () => number): { right: string[]; wrong: string[] } {
  rmSync(path, { recursive: true, force: true });
  cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
  const right: string[] = [];
  const wrong: string[] = [];
  for (const file of filesBelow(join(path, 'objects'))) {
    const chance = random();
    (chance < 1 / 3 ? wrong : right).push(file.slice(path.length + 1));
    if (chance < 1 / 6) rmSync(file);
    else if (chance < 1 / 3) writeFileSync(file, readFileSync(file).subarray(1));
  }
  return { right, wrong };
}

async function damagedObjects(path: string): Promise<string[]> {
  using repository = await Repository.open(path);
  const report = await checkObjects(repository, await listObjectNames(repository));
  return report.findings.map(errorOf).map((error) => error.path);
}
