// Symlinks of the attacker where root names a path, or the program makes one beside a repository.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeLayout } from '../support/images/oci-layout.js';
import { systemTar } from '../support/layers/system-tar.js';
import { ATTACKER, attack, whyNoAttacker } from './attack.js';
import { cfsbridge, giveAway, imageLayout, scene } from './stranger-repository.js';

const skip = whyNoAttacker();
const mkcomposefs = fileURLToPath(new URL('../../../bin/mkcomposefs', import.meta.url));

attack('has root pull an archive, or a layout, by a symlink to one of root', { skip }, (t) => {
  const { folder, repository, secret } = scene(t);
  const { layout } = imageLayout(folder);
  const archive = join(secret, 'archive.tar');
  assert.equal(spawnSync('tar', ['-C', layout, '-cf', archive, '.']).status, 0);
  assert.equal(spawnSync('cp', ['-r', layout, join(secret, 'layout')]).status, 0);
  assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
  const theirs = join(folder, 'theirs');
  mkdirSync(theirs);
  for (const [transport, target] of [
    ['oci-archive', archive],
    ['docker-archive', archive],
    ['oci', join(secret, 'layout')],
    ['dir', join(secret, 'layout')],
  ] as const) {
    const link = join(theirs, transport);
    symlinkSync(target, link);
    giveAway(link);
    const { status, stderr } = cfsbridge(['--repo', repository, 'oci', 'pull', `${transport}:${link}`, 'image']);
    assert.equal(status, 1);
    assert.match(stderr, /is a symlink of user 12345, who could have it lead anywhere/);
  }
  assert.ok(!existsSync(join(repository, 'objects')), 'something was stored');
  const own = join(folder, 'own.tar');
  symlinkSync(archive, own);
  const { status, stderr } = cfsbridge(['--repo', repository, 'oci', 'pull', `oci-archive:${own}`, 'image']);
  assert.equal(status, 0, stderr);
  return 'refused; followed where root made the link';
});

attack('has root fill a digest store that he owns, with symlinks for its folders and objects', { skip }, (t) => {
  const { folder, secret } = scene(t);
  imageLayout(folder);
  const store = join(folder, 'store');
  const make = (path: string): { status: number | null; stderr: string } =>
    spawnSync(mkcomposefs, [`--digest-store=${path}`, join(folder, 'tree'), join(folder, 'image')], {
      encoding: 'utf8',
    });
  mkdirSync(store);
  for (let i = 0; i < 256; i++) symlinkSync(secret, join(store, i.toString(16).padStart(2, '0')));
  giveAway(store);
  assert.equal(make(store).status, 1);
  assert.equal(readdirSync(secret).length, 20);

  rmSync(store, { recursive: true });
  assert.equal(make(store).status, 0);
  const objects = (readdirSync(store, { recursive: true }) as string[])
    .filter((name) => name.length > 2)
    .map((name) => join(store, name));
  const before = objects.map((path) => readFileSync(path, 'utf8'));
  for (const path of objects) {
    rmSync(path);
    symlinkSync(join(secret, 'file0'), path);
  }
  giveAway(store);
  assert.equal(make(store).status, 0);
  assert.deepEqual(
    objects.map((path) => readFileSync(path, 'utf8')),
    before,
  );
  assert.equal(readFileSync(join(secret, 'file0'), 'utf8'), 'root only');
  // A right one that he can write is not an object either.
  giveAway(store);
  assert.equal(make(store).status, 0);
  for (const path of objects) assert.equal(lstatSync(path).uid, 0, `still that of user ${ATTACKER}`);

  const link = join(folder, 'link');
  symlinkSync(secret, link);
  giveAway(link);
  const { status, stderr } = make(link);
  assert.equal(status, 1);
  assert.match(stderr, /is a symlink of user 12345/);
  assert.equal(readdirSync(secret).length, 20);
  return 'nothing is written outside; objects of his are replaced';
});

attack(
  'has root make the state of a deployment, and look for deployments, through a symlink beside a repository that ' +
    'root trusts',
  { skip },
  (t) => {
    const { folder, secret } = scene(t);
    const home = join(folder, 'home');
    const repository = join(home, 'composefs');
    mkdirSync(home);
    const layout = join(folder, 'layout');
    writeLayout(layout, [
      systemTar({ 'usr/lib/modules/6.1/vmlinuz': 'kernel', 'usr/lib/modules/6.1/initramfs.img': 'initramfs' }),
    ]);
    const run = (...words: string[]): ReturnType<typeof cfsbridge> =>
      cfsbridge(['--repo', repository, ...words], { CFSBRIDGE_TRUST: repository });
    for (const words of [
      ['init', '--insecure'],
      ['oci', 'pull', `oci:${layout}`, 'os'],
    ])
      assert.equal(run(...words).status, 0);
    symlinkSync(secret, join(home, 'state'));
    giveAway(home);
    for (const words of [
      ['oci', 'prepare-boot', 'os', '--bootdir', join(folder, 'boot')],
      ['gc'],
      ['gc', '--dry-run'],
    ]) {
      const { status, stderr } = run(...words);
      assert.equal(status, 1, words.join(' '));
      assert.match(stderr, /is a symlink of user 12345/);
    }
    assert.equal(readdirSync(secret).length, 20);
    return 'refused, the symlink is named';
  },
);

attack(
  'nobody: root opens a repository by a symlink, deploys from it, and collects garbage by either path',
  { skip },
  (t) => {
    const { folder, repository } = scene(t);
    const layout = join(folder, 'layout');
    writeLayout(layout, [
      systemTar({ 'usr/lib/modules/6.1/vmlinuz': 'kernel', 'usr/lib/modules/6.1/initramfs.img': 'initramfs' }),
    ]);
    const sysroot = join(folder, 'sysroot');
    mkdirSync(sysroot);
    const link = join(sysroot, 'composefs');
    assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
    symlinkSync(repository, link);
    const run = (path: string, ...words: string[]): string => {
      const { status, stdout, stderr } = cfsbridge(['--repo', path, ...words]);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    run(link, 'oci', 'pull', `oci:${layout}`, 'os');
    const { image } = JSON.parse(
      run(link, 'oci', 'prepare-boot', 'os', '--bootdir', join(folder, 'boot'), '--json'),
    ) as { image: string };
    run(link, 'oci', 'untag', 'os');
    run(link, 'gc');
    assert.ok(existsSync(join(repository, 'images', image)), 'what is deployed was removed');
    return 'what is deployed stays';
  },
);
