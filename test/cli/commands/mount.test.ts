import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { UserNamespace } from '../../support/user-namespace.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';

const known = readFileSync('/proc/filesystems', 'utf8');
const missing = ['erofs', 'overlay'].filter((name) => !known.includes(`\t${name}\n`));
const unable =
  process.getuid?.() !== 0
    ? 'mounting needs root'
    : missing.length > 0 && `the kernel has no ${missing.join(' and no ')}`;

describe('mount', { skip: unable }, () => {
  let folder: string;
  let repository: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cfsbridge-mount-cli-'));
    repository = join(folder, 'repository');
    for (const name of ['rootfs/usr', 'mnt', 'upper', 'work']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'rootfs/usr/file'), 'text '.repeat(50));
    runCli(['init', '--insecure', repository]);
    assert.equal(runCli(['--repo', repository, 'create-image', join(folder, 'rootfs'), 'web']).status, 0);
  });
  after(() => rmSync(folder, { recursive: true }));

  const mount = (...options: string[]): string[] => [
    '--repo',
    repository,
    'mount',
    'refs/web',
    join(folder, 'mnt'),
    ...options,
  ];

  function mounted(options: readonly string[], check: (file: string) => void): void {
    const { status, stdout, stderr } = runCli(mount(...options));
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
    try {
      check(join(folder, 'mnt/usr/file'));
    } finally {
      execFileSync('umount', [join(folder, 'mnt')]);
    }
  }

  for (const options of [[], ['--fuse', 'no'], ['--fuse', 'auto'], ['--fuse=auto']])
    test(`read-only: ${options.join(' ') || 'without options'}`, () =>
      mounted(options, (file) => {
        assert.equal(readFileSync(file, 'utf8'), 'text '.repeat(50));
        assert.throws(() => writeFileSync(file, ''), { code: 'EROFS' });
      }));

  test('--idmap and an upper directory', async () => {
    using namespace = await UserNamespace.start('0 5000 100');
    const layers = ['--upperdir', join(folder, 'upper'), '--workdir', join(folder, 'work'), '--read-write'];
    mounted(['--idmap', namespace.path, ...layers], (file) => {
      assert.equal(execFileSync('stat', ['-c', '%u:%g', file], { encoding: 'utf8' }), '5000:5000\n');
      writeFileSync(`${file}.new`, 'new');
    });
    assert.equal(readFileSync(join(folder, 'upper/usr/file.new'), 'utf8'), 'new');
  });

  const refused: [what: string, options: string[], said: RegExp][] = [
    ['an upper directory without a work directory', ['--upperdir', '/tmp'], /require each other/],
    ['--read-write alone', ['--read-write'], /requires '--upperdir' and '--workdir'/],
    ['an --idmap that is no namespace', ['--idmap', '/etc/passwd'], /not a user namespace like \/proc\/PID\/ns\/user/],
    ['an --idmap that is not there', ['--idmap', '/nowhere'], /--idmap "\/nowhere" does not exist/],
    [
      'an upper directory that is not there',
      ['--upperdir', '/nowhere', '--workdir', '/tmp'],
      /--upperdir "\/nowhere" does not exist/,
    ],
    [
      'a work directory that is a file',
      ['--upperdir', '/tmp', '--workdir', '/etc/passwd'],
      /--workdir "\/etc\/passwd" is not a directory/,
    ],
    ['--require-verity in an insecure repository', ['--require-verity'], /without fs-verity/],
  ];
  for (const [what, options, said] of refused)
    test(`refused: ${what}`, () => {
      const { status, stderr } = runCli(mount(...options));
      assert.notEqual(status, 0);
      assert.match(stderr, said);
    });

  test('refused: a mountpoint that is not there', () => {
    const { status, stderr } = runCli(['--repo', repository, 'mount', 'refs/web', '/nowhere']);
    assert.match(stderr, /^Error: mountpoint "\/nowhere" does not exist/);
    assert.equal(status, 1);
  });

  test('root of a rootless container is told which capability is missing', (t) => {
    if (spawnSync('unshare', ['--user', '--map-root-user', 'true']).status !== 0)
      return t.skip('no user namespaces here');
    const { status, stderr } = spawnSync('unshare', ['--user', '--map-root-user', cfsbridge, ...mount()], {
      encoding: 'utf8',
    });
    assert.equal(status, 1);
    assert.match(stderr, /CAP_SYS_ADMIN in the initial user namespace/);
  });
});
