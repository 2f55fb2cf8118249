// Advice that errors give: it names what is wrong on this machine, and works when it is followed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { describeError } from '../../src/cli/errors.js';
import { verityUnsupported } from '../../src/repository/meta-file.js';
import { asAttacker, whyNoAttacker } from '../hostile/attack.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'advice-'));
  chmodSync(folder, 0o755);
});
after(() => rmSync(folder, { recursive: true }));

describe('where there is no repository', () => {
  for (const [what, name] of [
    ['a path', 'plain'],
    ['a path that a shell would split', "it's a folder"],
  ] as const)
    test(`${what}: the command that makes one`, () => {
      const repository = join(folder, name);
      const { status, stderr } = runCli(['--repo', repository, 'images']);
      assert.equal(status, 1);
      const command = /there is no repository at .*; "(cfsbridge .* init)" makes one/.exec(stderr)?.[1];
      assert.ok(command !== undefined, stderr);
      follow(command, repository);
    });
  test('a folder without meta.json: the command that makes it one', () => {
    const repository = join(folder, 'no-meta');
    mkdirSync(repository);
    const { stderr } = runCli(['--repo', repository, '--no-upgrade', 'images']);
    const command = /must be initialized with "(.*)"/.exec(stderr)?.[1];
    assert.ok(command !== undefined, stderr);
    follow(command, repository);
  });

  /** fs-verity is not what this is about. */
  function follow(command: string, repository: string): void {
    const env = { ...process.env, PATH: `${dirname(cfsbridge)}:${process.env['PATH']}` };
    const { status, stderr } = spawnSync('sh', ['-c', `${command} --insecure`], { encoding: 'utf8', env });
    assert.equal(status, 0, stderr);
    assert.equal(runCli(['--repo', repository, 'images']).status, 0);
  }
});

describe('storage.conf', () => {
  const pull = (): string[] => ['--repo', join(folder, 'plain'), 'oci', 'pull', 'containers-storage:x'];
  const advised =
    /which says where the containers-storage is, (.*?); put that right, or name another file in CONTAINERS_STORAGE_CONF/;

  test('a folder', () => {
    const conf = join(folder, 'storage.conf');
    mkdirSync(conf);
    const { status, stderr } = runCli(pull(), { env: { ...process.env, CONTAINERS_STORAGE_CONF: conf } });
    assert.equal(status, 1);
    assert.equal(advised.exec(stderr)?.[1], 'is a folder', stderr);
    assert.ok(stderr.includes(conf), stderr);
  });
  test('a fifo, to which nobody writes', () => {
    const conf = join(folder, 'fifo.conf');
    execFileSync('mkfifo', [conf]);
    const { status, stderr } = runCli(pull(), {
      env: { ...process.env, CONTAINERS_STORAGE_CONF: conf },
      timeout: 20_000,
      killSignal: 'SIGKILL',
    });
    assert.equal(status, 1, 'it has to end by itself');
    assert.equal(advised.exec(stderr)?.[1], 'is a pipe', stderr);
  });
  test('a pipe that a shell passes, of which the second reading would give nothing', () => {
    const command = `CONTAINERS_STORAGE_CONF=<(printf '[storage]\\ngraphroot = "/elsewhere"\\n') "$@"`;
    const { stderr } = spawnSync('bash', ['-c', command, 'bash', cfsbridge, ...pull()], { encoding: 'utf8' });
    assert.equal(advised.exec(stderr)?.[1], 'is a pipe', stderr);
  });
  test('/dev/null says nothing', () => {
    const { stderr } = runCli(pull(), {
      env: { ...process.env, CONTAINERS_STORAGE_CONF: '/dev/null', NODE_DEBUG: 'cfsbridge' },
    });
    assert.match(stderr, /storage\.conf: read \/dev\/null\n.*, which is the default of user/, stderr);
  });
  test("a user's own place with a folder in it", () => {
    const home = join(folder, 'home');
    mkdirSync(join(home, 'containers/storage.conf'), { recursive: true });
    const { stderr } = runCli(pull(), { env: { ...process.env, XDG_CONFIG_HOME: home } });
    assert.equal(advised.exec(stderr)?.[1], 'is a folder', stderr);
  });
  test('a file that the user may not read', { skip: whyNoAttacker() }, () => {
    const conf = join(folder, 'secret.conf');
    writeFileSync(conf, '[storage]\n', { mode: 0o600 });
    const [program = '', ...options] = asAttacker;
    const command = [...options, process.execPath, cfsbridge, ...pull()];
    const { status, stderr } = spawnSync(program, command, {
      encoding: 'utf8',
      env: { ...process.env, HOME: folder, CONTAINERS_STORAGE_CONF: conf },
    });
    assert.equal(status, 1);
    assert.equal(advised.exec(stderr)?.[1], 'may not be read by this user', stderr);
  });
  test('what is advised works: the store named in the reference, or another file', () => {
    const conf = join(folder, 'storage.conf');
    const graphroot = join(folder, 'store');
    for (const name of ['overlay', 'overlay-layers', 'overlay-images'])
      mkdirSync(join(graphroot, name), { recursive: true });
    for (const name of ['overlay-layers/layers.lock', 'overlay-images/images.lock', 'storage.lock'])
      writeFileSync(join(graphroot, name), '');
    const other = join(folder, 'other.conf');
    writeFileSync(other, `[storage]\ndriver = "overlay"\ngraphroot = "${graphroot}"\n`);
    const repository = ['--repo', join(folder, 'plain'), 'oci', 'pull'];
    for (const [reference, env] of [
      [`containers-storage:[overlay@${graphroot}]x`, { CONTAINERS_STORAGE_CONF: conf }],
      ['containers-storage:x', { CONTAINERS_STORAGE_CONF: other }],
    ] as const) {
      const { stderr } = runCli([...repository, reference], { env: { ...process.env, ...env } });
      assert.match(stderr, /no image/, 'the store was read');
      assert.doesNotMatch(stderr, advised);
    }
  });
});

describe('fs-verity that cannot be had', () => {
  const features = (name: string, ...files: string[]): string => {
    const path = join(folder, `features-${name}`);
    for (const file of files) {
      mkdirSync(dirname(join(path, file)), { recursive: true });
      writeFileSync(join(path, file), 'supported\n');
    }
    return path;
  };
  const KERNEL = /built without CONFIG_FS_VERITY/;
  const FILE_SYSTEM = /tune2fs -O verity DEVICE/;
  const rows: [what: string, path: () => string, said: RegExp, unsaid: RegExp][] = [
    [
      'a kernel whose ext4 can',
      () => features('can', 'ext4/features/verity', 'btrfs/features/raid56'),
      FILE_SYSTEM,
      KERNEL,
    ],
    [
      'a kernel of which nothing can',
      () => features('cannot', 'ext4/features/fast_commit', 'btrfs/features/raid56'),
      KERNEL,
      FILE_SYSTEM,
    ],
    ['a kernel of which nothing is known', () => features('unknown', 'xfs/stats'), FILE_SYSTEM, KERNEL],
  ];
  for (const [what, path, said, unsaid] of rows)
    test(what, () => {
      const message = describeError(verityUnsupported('/srv', path()));
      assert.match(message, said);
      assert.doesNotMatch(message, unsaid);
      assert.match(message, /--insecure/);
    });
  test('init says what this machine lacks', () => {
    const known = ['ext4', 'btrfs', 'f2fs'].map(
      (name) => spawnSync('ls', [`/sys/fs/${name}/features`], { encoding: 'utf8' }).stdout,
    );
    const lacks = known.some((list) => list !== '') && !known.some((list) => /^verity$/m.test(list));
    // tmpfs has none on any kernel.
    const { status, stderr } = runCli(['--repo', `/dev/shm/advice-${process.pid}`, 'init']);
    rmSync(`/dev/shm/advice-${process.pid}`, { recursive: true, force: true });
    assert.equal(status, 1);
    assert.match(stderr, lacks ? KERNEL : FILE_SYSTEM);
    assert.doesNotMatch(stderr, lacks ? FILE_SYSTEM : KERNEL);
  });
});

describe('mounting from where the kernel cannot', () => {
  const filesystems = readFileSync('/proc/filesystems', 'utf8');
  const unable =
    process.getuid?.() !== 0 ? 'mounting needs root' : !/\terofs$/m.test(filesystems) && 'the kernel has no erofs';
  for (const [name, mount] of [
    [
      'overlayfs',
      'mkdir l u w; mount -t tmpfs t u; mkdir u/u u/w; mount -t overlay -o lowerdir=l,upperdir=u/u,workdir=u/w o r',
    ],
    ['tmpfs', 'mount -t tmpfs t r'],
  ] as const)
    test(name, { skip: unable }, () => {
      const place = mkdtempSync(join(folder, 'place-'));
      mkdirSync(join(place, 'r'));
      mkdirSync(join(place, 'm'));
      mkdirSync(join(place, 'root/usr'), { recursive: true });
      writeFileSync(join(place, 'root/usr/f'), 'text '.repeat(50));
      const script =
        `cd "$1"; ${mount}; exec 3>&1 >/dev/null; "$2" "$3" --repo r/repository init --insecure; "$2" "$3" --repo ` +
        'r/repository create-image root web; "$2" "$3" --repo r/repository mount refs/web m';
      const { status, stderr } = spawnSync(
        'unshare',
        ['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', place, process.execPath, cfsbridge],
        { encoding: 'utf8' },
      );
      assert.equal(status, 1, stderr);
      assert.match(stderr, new RegExp(`the image lies on ${name}`));
      assert.doesNotMatch(stderr, /6\.12/);
    });
});

test('the programs that the advice names are there', () =>
  assert.match(execFileSync('sh', ['-c', `"$0" --help`, cfsbridge], { encoding: 'utf8' }), /^ {2}init /m));
