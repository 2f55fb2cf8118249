// The owner of a repository has root remove what is not in it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initRepository } from '../../src/repository/init.js';
import { attack, whyNoAttacker } from './attack.js';
import { cfsbridge, giveAway, scene, Swapping } from './stranger-repository.js';

const skip = whyNoAttacker();
const TRIES = 8;
const FOLDERS = 24;
const SECRETS = 20;

/** An unfinished migration, its folders and as many links to `secret` beside them. */
function layTrap(repository: string, secret: string, switching: boolean): [string, string][] {
  rmSync(repository, { recursive: true, force: true });
  initRepository(repository, { insecure: true });
  const old = join(repository, 'migrating/old');
  const pairs: [string, string][] = [];
  for (let i = 0; i < FOLDERS; i++) {
    const folder = join(old, `folder${i}`);
    mkdirSync(folder, { recursive: true });
    for (let j = 0; j < 3; j++) writeFileSync(join(folder, `file${j}`), '');
    symlinkSync(secret, join(old, `link${i}`));
    pairs.push([folder, join(old, `link${i}`)]);
  }
  if (switching) {
    const meta = JSON.parse(readFileSync(join(repository, 'meta.json'), 'utf8')) as { features?: object };
    mkdirSync(join(repository, 'migrating/new'));
    writeFileSync(join(repository, 'migrating/new/meta.json'), JSON.stringify(meta));
    writeFileSync(
      join(repository, 'meta.json'),
      JSON.stringify({ ...meta, features: { ...meta.features, incompatible: ['cfsbridge_migrating'] } }),
    );
  }
  giveAway(repository);
  return pairs;
}

for (const { words, switching } of [
  { words: ['gc'], switching: false },
  { words: ['oci', 'images'], switching: true },
]) {
  const shown = words.join(' ');
  attack(
    `exchanges folders of an unfinished migration for symlinks to root's while root, who trusts the repository, ` +
      `runs ${shown}`,
    { skip },
    async (t) => {
      const { repository, secret } = scene(t);
      let finished = 0;
      for (let i = 0; i < TRIES; i++) {
        const pairs = layTrap(repository, secret, switching);
        using _swapping = await Swapping.start(pairs);
        const { status } = cfsbridge(['--repo', repository, ...words], { CFSBRIDGE_TRUST: repository });
        if (status === 0) finished++;
        assert.equal(readdirSync(secret).length, SECRETS, `files outside are gone after ${i + 1} tries`);
      }
      assert.ok(finished > 0, 'the command never came to the end of it');
      return `nothing outside was removed in ${TRIES} tries; ${finished} times the migration was cleared away`;
    },
  );

  attack(`leaves an unfinished migration for root's ${shown}`, { skip }, async (t) => {
    const { repository, secret } = scene(t);
    layTrap(repository, secret, switching);
    const { status, stderr } = cfsbridge(['--repo', repository, ...words]);
    assert.equal(status, 1);
    assert.match(
      stderr,
      switching
        ? /a migration of .* was interrupted; the next command of its owner, user 12345, ends it/
        : /belongs to user 12345 and neither to root nor to you: if you trust that user, name the folder in CFSBRIDGE_TRUST or give --trust-repository/,
    );
    assert.ok(existsSync(join(repository, 'migrating/old/folder0/file0')));
    return 'refused, and nothing was changed';
  });
}
