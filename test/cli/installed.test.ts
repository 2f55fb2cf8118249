// The package as its users have it: the bundle with its code cache, and nothing of the checkout.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeStore } from '../support/images/made-store.js';
import { InstalledPackage } from './installed.js';
import '../support/cli/run-cli.js';

/** Receives one datagram as systemd does from the command it starts, and prints it with who sent it. */
const RECEIVER = `
import os, socket, struct, subprocess, sys
name = sys.argv[1]
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
if name[0] == "@":
    server.bind("\\0" + name[1:])
else:
    os.chdir(os.path.dirname(name))
    server.bind(os.path.basename(name))
server.settimeout(20)
child = subprocess.Popen(sys.argv[2:], env=dict(os.environ, NOTIFY_SOCKET=name), stderr=subprocess.PIPE)
try:
    message, ancillary, *_ = server.recvmsg(4096, socket.CMSG_SPACE(12))
    pid = struct.unpack("iii", ancillary[0][2])[0]
    print(message.decode(), "of the service" if pid == child.pid else "of another process")
except TimeoutError:
    print("nothing came")
child.terminate()
sys.stdout.write(child.stderr.read().decode())
`;

describe('the installed package', () => {
  let installed: InstalledPackage;
  let graphroot: string;
  const at = (name: string): string => join(installed.folder, name);
  const run = (name: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(installed.command(name), args, { encoding: 'utf8' });
    assert.equal(status, 0, `${name} ${args.join(' ')}: ${stderr}`);
    return stdout;
  };

  before(() => {
    installed = new InstalledPackage();
    graphroot = at('store');
    makeStore(graphroot, [
      { name: 'localhost/it:1', layers: [{ entries: [{ name: 'file', content: Buffer.alloc(100) }] }] },
    ]);
  });
  after(() => installed[Symbol.dispose]());

  const services: [command: string, args: () => string[]][] = [
    ['serve', () => ['serve', '--root', graphroot, '--socket', at('socket')]],
    ['varlink', () => ['varlink', '--address', at('socket')]],
  ];
  const receivers: [kind: string, address: (command: string) => string][] = [
    ['a path', (command) => at(`notify-${command}`)],
    ['a path that is too long for an address', (command) => join(at('l'.repeat(120)), `notify-${command}`)],
    ['an abstract name', (command) => `@cfsbridge-test-${process.pid}-${command}`],
  ];
  for (const [command, args] of services)
    for (const [kind, address] of receivers)
      test(`${command} says READY=1 to ${kind}`, () => {
        mkdirSync(at('l'.repeat(120)), { recursive: true });
        const { stdout, stderr } = spawnSync(
          'python3',
          ['-c', RECEIVER, address(command), installed.command('cfsbridge'), ...args()],
          { encoding: 'utf8' },
        );
        assert.match(stdout, /^READY=1 of the service\nserving [^\n]*\n$/, stderr);
      });

  test('a receiver that is gone, or none, is said and stops nothing', async () => {
    const cases: [string, RegExp][] = [
      [at('nobody'), /^systemd could not be told READY=1: .*ENOENT/m],
      ['vsock:2:1', /^systemd could not be told READY=1: NOTIFY_SOCKET is no Unix socket: vsock:2:1$/m],
    ];
    for (const [address, expected] of cases) {
      const server = spawn(installed.command('cfsbridge'), ['varlink', '--address', at('socket')], {
        env: { ...process.env, NOTIFY_SOCKET: address },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      for await (const part of server.stderr) if (expected.test((said += part))) server.kill('SIGTERM');
      assert.match(said, expected);
    }
  });

  test('pulls, checks, makes images and reads them', () => {
    run('cfsbridge', '--repo', at('repo'), 'init', '--insecure');
    const pulled = run(
      'cfsbridge',
      '--repo',
      at('repo'),
      'oci',
      'pull',
      `containers-storage:[overlay@${graphroot}]localhost/it:1`,
      'it',
    );
    assert.match(pulled, /sha256:/);
    assert.match(run('cfsbridge', '--repo', at('repo'), 'oci', 'images'), /^│ it /m);
    run('cfsbridge', '--repo', at('repo'), 'fsck', '--repair');
    mkdirSync(at('folder'));
    writeFileSync(at('folder/large'), Buffer.alloc(5000, 'x'));
    run('mkcomposefs', `--digest-store=${at('store-of-objects')}`, at('folder'), at('image'));
    assert.match(run('composefs-info', 'ls', at('image')), /^\/large\t/m);
  });

  test('shows how far a pull is', () => {
    const { stdout, status } = spawnSync(
      'script',
      [
        '-qec',
        `'${installed.command('cfsbridge')}' --repo '${at('repo')}' oci pull ` +
          `'containers-storage:[overlay@${graphroot}]localhost/it:1' again`,
        '/dev/null',
      ],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout);
    assert.match(stdout, /\[=+\] 100%/);
  });

  test('every command has help', () => {
    const commandsOf = (words: string[]): string[] =>
      [...run('cfsbridge', ...words, '--help').matchAll(/^ {2}([a-z][a-z-]+)(?:\||  | [<[])/gm)].map(
        ([, name]) => name!,
      );
    const all = commandsOf([]);
    assert.ok(all.includes('mount') && all.includes('oci'));
    for (const name of commandsOf(['oci'])) run('cfsbridge', 'oci', name, '--help');
    for (const name of all) run('cfsbridge', name, '--help');
  });

  test('no code is imported at run time, which a code cache does not allow, and none from packages that are not asked for', () => {
    const { dependencies } = JSON.parse(readFileSync(installed.file('package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const name of readdirSync(installed.file('dist/cli')).filter((name) => name.endsWith('.cjs'))) {
      const code = readFileSync(installed.file(`dist/cli/${name}`), 'utf8');
      assert.deepEqual(
        [...code.matchAll(/(?<![#.\w$])import\s*\([^)]*\)/g)].map(([found]) => found),
        [],
        name,
      );
      const required = [...code.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, request]) => request!);
      const packages = required
        // A part of newer versions of Node, which is asked for and may be missing, is no package either.
        .filter((request) => !isBuiltin(request) && !request.startsWith('node:'))
        .map((request) => /^(?:@[^/]+\/)?[^/]+/.exec(request)![0]);
      assert.deepEqual(
        packages.filter((name) => !(name in dependencies)),
        [],
      );
    }
  });
});
