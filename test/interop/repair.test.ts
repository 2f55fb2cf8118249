// A pulled image of the real store is damaged at random, and repaired from every kind of source; cfsctl looks on.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { Random } from '../support/random.js';
import { LoopFilesystem, whyNoLoop } from '../support/filesystems.js';
import { filesBelow } from '../support/walk.js';
import {
  cfsctl,
  graphroot,
  hashOfOutput,
  run,
  runInPeers,
  SharedFolder,
  storeName,
  succeed,
  whyNoStore,
  type Answer,
} from './peers.js';
import { askCfsctl, assertSound, makeRepository, pullHere } from './repositories.js';

const IMAGE = 'base';
/** Where a splitstream's header has the end of its info section, 8 bytes. */
const INFO_END = 24;
const skip = whyNoStore();
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);

describe('repair of a real image', { skip }, () => {
  let folder: SharedFolder;
  let sound: string;
  let dump: string;
  const sources: Record<string, string> = {};

  before(async () => {
    folder = new SharedFolder();
    sound = makeRepository(join(folder.path, 'sound'));
    await pullHere(sound, `localhost/${IMAGE}`, { name: IMAGE, localFetch: 'disabled' });
    dump = hashOfOutput(cfsctl, ['--repo', sound, 'oci', 'dump', IMAGE]);
    sources['containers-storage'] = `containers-storage:[overlay@${graphroot}]localhost/${IMAGE}`;
    for (const [transport, tag] of [
      ['oci', ':tag'],
      ['oci-archive', ':tag'],
      ['docker-archive', ''],
      ['dir', ''],
    ] as const) {
      const name = `copy-${transport}`;
      // Compressing takes longer than all the rest; other tests read compressed layers.
      const options =
        transport === 'dir'
          ? ['--dest-decompress']
          : transport === 'docker-archive'
            ? []
            : ['--dest-oci-accept-uncompressed-layers'];
      const from = `containers-storage:[overlay@/share/${storeName}+${folder.inside}/run]localhost/${IMAGE}`;
      const { status, stderr } = runInPeers(
        'skopeo',
        '--insecure-policy',
        'copy',
        '-q',
        ...options,
        from,
        `${transport}:${folder.inside}/${name}${tag}`,
      );
      assert.equal(status, 0, stderr);
      sources[transport] = `${transport}:${join(folder.path, name)}${tag}`;
    }
    sources['another repository'] = join(folder.path, 'other');
    copy(sound, sources['another repository']);
    sources['a repository of another algorithm'] = makeRepository(join(folder.path, 'sha256'), 'sha256');
    await pullHere(sources['a repository of another algorithm'], `localhost/${IMAGE}`, { name: 'other-tag' });
  });
  after(() => {
    if (!skip) folder[Symbol.dispose]();
  });

  for (const kind of [
    'containers-storage',
    'oci',
    'oci-archive',
    'docker-archive',
    'dir',
    'another repository',
    'a repository of another algorithm',
  ]) {
    test(`from ${kind}`, (t) => {
      t.diagnostic(`seed ${seed}`);
      const path = join(folder.path, 'damaged');
      copy(sound, path);
      t.after(() => rmSync(path, { recursive: true }));
      const lost = damage(path, new Random(seed));
      assertDamaged(askCfsctl(path, 'fsck'));
      const began = performance.now();
      const { status, stdout, stderr } = repair(path, '--json', '--from', sources[kind] as string);
      t.diagnostic(`${lost} objects repaired in ${Math.round(performance.now() - began)} ms`);
      assert.equal(status, 0, `${stdout}${stderr}`);
      const report = JSON.parse(stdout) as { ok: boolean; repaired: unknown[]; quarantined: unknown[] };
      assert.deepEqual([report.ok, report.quarantined], [true, []]);
      assert.ok(report.repaired.length >= lost, `${report.repaired.length} of ${lost}`);
      assertSound(path);
      assert.deepEqual(namesAndObjects(path), namesAndObjects(sound));
      assert.equal(hashOfOutput(cfsctl, ['--repo', path, 'oci', 'dump', IMAGE]), dump);
      assert.equal(hashOfTree(path), hashOfTree(sound));
    });
  }

  test('without a source: what is lost is set aside, which cfsctl does not mind, and a second pull completes it', async (t) => {
    const path = join(folder.path, 'damaged');
    copy(sound, path);
    t.after(() => rmSync(path, { recursive: true }));
    const file = largest(path);
    overwrite(file, statSync(file).size >> 1);
    const quarantined = file.slice(join(path, 'objects').length + 1).replace('/', '');
    const { status, stdout } = repair(path);
    assert.equal(status, 1);
    assert.match(
      stdout,
      new RegExp(`^incomplete images: 1\n {2}- ${IMAGE}: layer sha256:[0-9a-f]{64}: 1 of its objects is missing$`, 'm'),
    );
    assert.deepEqual(readdirSync(join(path, 'quarantine')), [quarantined]);
    const check = askCfsctl(path, 'fsck');
    assert.match(check.stdout, /^missing objects: 2$/m);
    assert.doesNotMatch(check.stdout, /quarantine|digest-mismatch/);
    const gc = askCfsctl(path, 'gc', '--dry-run');
    assert.equal(gc.status, 0, gc.stderr);
    assert.doesNotMatch(gc.stdout, /quarantine/);
    succeed(cfsbridge, ['--repo', path, 'oci', 'pull', sources['containers-storage'] as string, IMAGE]);
    assertSound(path);
    assert.equal(askCfsctl(path, 'gc').status, 0);
    assert.deepEqual(readdirSync(join(path, 'quarantine')), [quarantined]);
    assert.deepEqual(namesAndObjects(path), namesAndObjects(sound));
  });

  test('a stream whose info section ends at 256 GiB is repaired, which cfsctl dies of', (t) => {
    const path = join(folder.path, 'damaged');
    copy(sound, path);
    t.after(() => rmSync(path, { recursive: true }));
    const name = readdirSync(join(path, 'streams')).find((each) => each.startsWith('oci-config-')) as string;
    overwrite(realpathSync(join(path, 'streams', name)), INFO_END + 4);
    assert.equal(askCfsctl(path, 'fsck').status, null);
    const check = run(cfsbridge, ['--repo', path, 'fsck']);
    assert.equal(check.status, 1, check.stderr);
    assert.ok(check.stdout.includes(name), check.stdout);
    const { status, stdout } = repair(path, '--from', sources['oci'] as string);
    assert.equal(status, 0, stdout);
    assertSound(path);
  });

  test('what cfsctl pulled is repaired, too, and cfsctl has nothing like it', (t) => {
    const path = makeRepository(join(folder.path, 'theirs'));
    t.after(() => rmSync(path, { recursive: true }));
    const pulled = run(cfsctl, [
      '--repo',
      path,
      'oci',
      'pull',
      '--local-fetch',
      'disabled',
      `oci:${join(folder.path, 'copy-oci')}:tag`,
      IMAGE,
    ]);
    assert.equal(pulled.status, 0, pulled.stderr);
    const names = namesAndObjects(path).filter((name) => !name.includes('oci-manifest'));
    damage(path, new Random(seed + 1));
    // A check that found damage and says so with its status is what scripts rely on.
    const ours = run(cfsbridge, ['--repo', path, 'fsck', '--json']);
    assert.equal(ours.status, 1, ours.stderr);
    assert.equal((JSON.parse(ours.stdout) as { ok: boolean }).ok, false);
    assertDamaged(askCfsctl(path, 'fsck'));
    const theirs = askCfsctl(path, 'fsck', '--json');
    if (theirs.status !== null) assert.deepEqual([theirs.status, JSON.parse(theirs.stdout).ok], [0, false]);
    assert.notEqual(
      run(cfsctl, ['--repo', path, 'oci', 'pull', `oci:${join(folder.path, 'copy-oci')}:tag`, IMAGE]).status === 0 &&
        askCfsctl(path, 'fsck').status === 0,
      true,
      'cfsctl repaired it by pulling again',
    );
    const { status, stdout, stderr } = repair(path, '--from', sources['oci'] as string);
    assert.equal(status, 0, `${stdout}${stderr}`);
    assertSound(path);
    const after = new Set(namesAndObjects(path));
    assert.deepEqual(
      names.filter((name) => !after.has(name)),
      [],
    );
  });

  test('a full disk ends a repair that then changes nothing more, and loses nothing', {
    skip: whyNoLoop('ext4'),
  }, (t) => {
    const used = Number(succeed('du', ['-sm', sound]).split('\t')[0]);
    const inodes = filesBelow(join(sound, 'objects')).length;
    using filesystem = new LoopFilesystem('ext4', Math.round(used * 1.35) + 40);
    t.diagnostic(`${used} MiB, ${inodes} objects`);
    const path = join(filesystem.path, 'repository');
    cpSync(sound, path, { recursive: true, verbatimSymlinks: true });
    const file = largest(path);
    overwrite(file, 10);
    const damaged = createHash('sha256').update(readFileSync(file)).digest('hex');
    const missing = realpathSync(
      join(path, 'streams', readdirSync(join(path, 'streams')).find((name) => name.startsWith('oci-layer-')) ?? ''),
    );
    rmSync(missing);
    fill(join(filesystem.path, 'filler'));
    const before = namesAndObjects(path);
    const { status, stderr } = repair(path, '--from', sources['containers-storage'] as string);
    assert.equal(status, 1);
    assert.match(stderr, /ENOSPC|No space left|no space left/);
    assert.equal(createHash('sha256').update(readFileSync(file)).digest('hex'), damaged);
    const left = new Set(namesAndObjects(path));
    assert.deepEqual(
      before.filter((name) => !left.has(name)),
      [],
    );
    rmSync(join(filesystem.path, 'filler'));
    const second = repair(path, '--from', sources['containers-storage'] as string);
    assert.equal(second.status, 0, second.stdout);
    assertSound(path);
  });
});

function repair(path: string, ...args: string[]): Answer {
  return run(cfsbridge, ['--repo', path, 'fsck', '--repair', ...args]);
}

/** cfsctl says so, or dies: it allocates whatever size a damaged stream says. */
function assertDamaged({ status, stderr }: Answer): void {
  if (status === null) assert.match(stderr, /^memory allocation of \d+ bytes failed/m);
  else assert.equal(status, 1, stderr);
}

/** Flips bytes of, truncates, and removes objects at random: files, streams, and images. @returns how many */
function damage(path: string, random: Random): number {
  const files = filesBelow(join(path, 'objects')).sort();
  const targets = new Set(Array.from({ length: 60 }, () => files[random.upTo(files.length - 1)] as string));
  for (const area of ['streams', 'images']) {
    const names = readdirSync(join(path, area))
      .filter((name) => name !== 'refs')
      .sort();
    targets.add(realpathSync(join(path, area, names[random.upTo(names.length - 1)] as string)));
  }
  for (const file of targets) {
    const { size } = statSync(file);
    const kind = random.upTo(2);
    if (kind === 0 || size === 0) rmSync(file);
    else if (kind === 1) overwrite(file, random.upTo(size - 1));
    else rewrite(file, readFileSync(file).subarray(0, random.upTo(size - 1)));
  }
  return targets.size;
}

function overwrite(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 0x40;
  rewrite(file, bytes);
}

/** Copies share their files until these are damaged. */
function rewrite(file: string, bytes: Buffer): void {
  rmSync(file);
  writeFileSync(file, bytes);
}

function copy(from: string, to: string): void {
  succeed('cp', ['-al', from, to]);
}

function largest(path: string): string {
  return filesBelow(join(path, 'objects')).reduce((a, b) => (statSync(a).size >= statSync(b).size ? a : b));
}

/** Takes all space that is left. */
function fill(file: string): void {
  run('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M']);
  run('dd', ['if=/dev/zero', `of=${file}`, 'bs=4k', 'oflag=append', 'conv=notrunc']);
}

/** Names with what they lead to, and objects with their lengths. */
function namesAndObjects(path: string): string[] {
  const names = (folder: string): string[] =>
    readdirSync(join(path, folder), { withFileTypes: true }).flatMap((entry) => {
      const name = `${folder}/${entry.name}`;
      return entry.isDirectory() ? names(name) : [`${name} -> ${readlinkSync(join(path, name))}`];
    });
  const objects = filesBelow(join(path, 'objects')).map((file) => `${file.slice(path.length)} ${lstatSync(file).size}`);
  return [...names('streams'), ...names('images'), ...objects].sort();
}

/** What a mount of the image shows: names, modes, content. */
function hashOfTree(path: string): string {
  const script =
    'm=$(mktemp -d); "$0" --repo "$1" oci mount "$2" "$m" && tar -C "$m" --sort=name --xattrs -cf - . ; s=$?; ' +
    'umount "$m"; rmdir "$m"; exit $s';
  return hashOfOutput('sh', ['-c', script, cfsbridge, path, IMAGE]);
}
