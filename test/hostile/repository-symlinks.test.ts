// Folders and objects of a repository that are symlinks to what only root may enter.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { attack, whyNoAttacker } from './attack.js';
import { cfsbridge, giveAway, imageLayout, scene } from './stranger-repository.js';

const skip = whyNoAttacker();
const SECRETS = 20;

function isUntouched(secret: string): void {
  const names = readdirSync(secret);
  assert.equal(names.length, SECRETS, `in the folder of root: ${names.join(' ')}`);
  for (const name of names) assert.equal(readFileSync(join(secret, name), 'utf8'), 'root only');
}

attack(
  'objects/00 to objects/ff are symlinks into a folder of root, who trusts the repository and pulls into it',
  { skip },
  (t) => {
    const { folder, repository, secret } = scene(t);
    const { layout } = imageLayout(folder);
    assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
    mkdirSync(join(repository, 'objects'));
    for (let i = 0; i < 256; i++) symlinkSync(secret, join(repository, 'objects', i.toString(16).padStart(2, '0')));
    giveAway(repository);
    const { status, stderr } = cfsbridge(['--repo', repository, 'oci', 'pull', `oci:${layout}`, 'image'], {
      CFSBRIDGE_TRUST: repository,
    });
    isUntouched(secret);
    assert.equal(status, 1);
    assert.match(stderr, /objects\/[0-9a-f]{2}.* is a symlink/);
    return 'refused, the symlink is named';
  },
);

for (const name of [
  'objects',
  'streams',
  'images',
  'streams/refs',
  'images/refs',
  'verified',
  'quarantine',
  'migrating',
])
  attack(
    `${name} is a symlink to a folder of root, who trusts the repository and pulls, tags, repairs and collects garbage`,
    { skip },
    (t) => {
      const { folder, repository, secret } = scene(t);
      const { layout } = imageLayout(folder);
      const run = (...words: string[]): ReturnType<typeof cfsbridge> =>
        cfsbridge(['--repo', repository, ...words], { CFSBRIDGE_TRUST: repository });
      assert.equal(run('init', '--insecure').status, 0);
      assert.equal(run('oci', 'pull', `oci:${layout}`, 'image').status, 0);
      const place = join(repository, name);
      rmSync(place, { recursive: true, force: true });
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(secret, place);
      giveAway(repository);
      const { status, stdout } = run('fsck');
      assert.equal(status, 1);
      assert.match(stdout, new RegExp(`fsck: [a-z-]+: ${name}: .*(symlink|leads out of the repository)`));
      for (const words of [
        ['oci', 'pull', `oci:${layout}`, 'again'],
        ['oci', 'tag', 'image', 'other'],
        ['fsck', '--repair'],
        ['gc'],
        ['oci', 'images'],
      ]) {
        run(...words);
        isUntouched(secret);
      }
      return 'nothing outside was read or changed, fsck names it';
    },
  );

attack('an object is a symlink to a file of root', { skip }, (t) => {
  const { folder, repository, secret } = scene(t);
  const { layout, diffId } = imageLayout(folder);
  const run = (...words: string[]): ReturnType<typeof cfsbridge> =>
    cfsbridge(['--repo', repository, ...words], { CFSBRIDGE_TRUST: repository });
  assert.equal(run('init', '--insecure').status, 0);
  assert.equal(run('oci', 'pull', `oci:${layout}`, 'image').status, 0);
  const before = run('oci', 'layer', diffId).stdout;
  const [object = ''] = spawnSync('grep', ['-rl', 'content 7 ', join(repository, 'objects')], {
    encoding: 'utf8',
  }).stdout.split('\n');
  renameSync(object, `${object}.moved`);
  symlinkSync(join(secret, 'file0'), object);
  const { status, stdout } = run('oci', 'layer', diffId);
  assert.equal(status, 1);
  assert.ok(!stdout.includes('root only'));
  assert.match(run('fsck').stdout, /a symlink/);
  rmSync(join(repository, 'verified'), { recursive: true });
  assert.equal(run('oci', 'pull', `oci:${layout}`, 'image').status, 0);
  assert.ok(lstatSync(object).isFile());
  assert.equal(run('oci', 'layer', diffId).stdout, before);
  isUntouched(secret);
  return 'not read; a pull puts the object in its place';
});

attack('nests 3,500 folders in streams/refs', { skip }, (t) => {
  const { repository } = scene(t);
  assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
  const program = `import fs from 'node:fs'; fs.mkdirSync('streams/refs/oci', { recursive: true }); process.chdir('streams/refs/oci');
    for (let i = 0; i < 3500; i++) { fs.mkdirSync('d'); process.chdir('d'); }`;
  assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: repository }).status, 0);
  for (const words of [
    ['oci', 'images'],
    ['gc', '--dry-run'],
  ]) {
    const { status, stdout, stderr } = cfsbridge(['--repo', repository, ...words]);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(
      stderr,
      /streams\/refs\/oci\/d\/.* is nested deeper than any ref: a path has at most 4095 bytes; remove that folder/,
    );
  }
  assert.match(
    cfsbridge(['--repo', repository, 'fsck']).stdout,
    /fsck: stat-failed: streams\/refs\/oci: .*nested deeper than any ref/,
  );
  return 'named by oci images, gc and fsck';
});

attack("the repository's own path is a symlink of the attacker", { skip }, (t) => {
  const { folder, repository } = scene(t);
  assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
  const link = join(folder, 'link');
  symlinkSync(repository, link);
  assert.equal(cfsbridge(['--repo', link, 'images']).status, 0, 'one of our own');
  giveAway(link);
  for (const words of [['images'], ['gc'], ['init', '--insecure']]) {
    const { status, stderr } = cfsbridge(['--repo', link, ...words]);
    assert.equal(status, 1);
    assert.match(stderr, /link is a symlink of user 12345, who could have it lead anywhere; name the folder itself/);
  }
  assert.ok(!existsSync(join(repository, 'objects')));
  return 'refused';
});
