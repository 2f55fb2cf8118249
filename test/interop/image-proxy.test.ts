// Images through the image proxies of skopeo, of Debian sid and of Debian 12, which speaks protocol 0.2.3: they are what
// they are without one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openProxyImage } from '../../src/oci/source/proxy/image.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { tarOf } from '../support/images/source-layout.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { CREDS, HTPASSWD, startRegistry, type Server } from './docker-registry.js';
import { inTree, peerCommand, peers, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const images = ['alpha:v1', 'alpha:v2', 'alpha:v3'];

/** Why tests with a tree's skopeo cannot run, or false. */
function whyNoSkopeo(tree: string): string | false {
  if (existsSync(join(peers, tree, 'usr/bin/skopeo'))) return false;
  return `there is no skopeo of ${tree}; scripts/peers.sh installs it`;
}

describe('image proxy', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let store: SmallStore;
  let plain: Server;
  let closed: Server;

  const stored = (image: string): string => {
    const inside = store.graphroot.replace(folder.path, folder.inside);
    return `containers-storage:[overlay@${inside}+${folder.inside}/run]localhost/${image}`;
  };
  const storedHere = (image: string): string =>
    `containers-storage:[overlay@${store.graphroot}+${folder.path}/run]localhost/${image}`;
  const copy = (...args: string[]): string => inTree('skopeo', '--insecure-policy', 'copy', '-q', ...args);

  let count = 0;
  /** What is printed and what images there are, without the line about how objects came. */
  function pulled(args: readonly string[]): string[] {
    const repository = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    const { status, stdout, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...args, 'it']);
    assert.equal(status, 0, stderr);
    return [...stdout.split('\n').slice(0, 4), runCli(['--repo', repository, 'images']).stdout];
  }

  /** A program that is the skopeo of a tree. */
  function skopeoOf(tree: string): string {
    const path = join(folder.path, `skopeo-${tree}`);
    const words = peerCommand(tree, ['skopeo']).map((word) => `'${word}'`);
    writeFileSync(path, `#!/bin/sh\n${MARK}=${process.pid} exec ${words.join(' ')} "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  before(async () => {
    folder = new SharedFolder();
    store = unpackSmallStore(folder.path);
    plain = await startRegistry(folder, 'plain');
    writeFileSync(join(folder.path, 'htpasswd'), HTPASSWD);
    const auth = { htpasswd: { realm: 'here', path: `${folder.inside}/htpasswd` } };
    closed = await startRegistry(folder, 'closed', {}, auth);
    for (const image of images) {
      const how = ['--dest-tls-verify=false', '--dest-compress-format', 'gzip', '--format', 'oci'];
      copy(...how, stored(image), `docker://${plain.host}/${image}`);
      copy('--format', 'oci', stored(image), `oci:${folder.inside}/layout:${image}`);
    }
    copy('--dest-tls-verify=false', '--dest-creds', CREDS, stored('alpha:v3'), `docker://${closed.host}/alpha:v3`);
    copy('--format', 'v2s2', stored('alpha:v3'), `dir:${folder.inside}/docker`);
    writeFileSync(join(folder.path, 'root.tar'), tarOf({ file: 'content', other: 'x'.repeat(10_000) }));
  });
  after(async () => {
    for (const { child } of [plain, closed]) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    }
    store.remove();
    folder[Symbol.dispose]();
  });

  for (const tree of ['sid', 'bookworm'])
    describe(`skopeo of ${tree}`, { skip: whyNoSkopeo(tree) }, () => {
      let proxied: (...args: string[]) => string[];
      before(() => {
        const command = skopeoOf(tree);
        proxied = (...args) => pulled(['--proxy-command', command, '--insecure-policy', ...args]);
      });

      test('images of a registry', () => {
        for (const image of images) {
          const reference = `docker://${plain.host}/${image}`;
          const how = ['--tls-verify=false', reference];
          assert.deepEqual(proxied(...how), pulled(['--insecure-policy', ...how]), image);
        }
      });

      test('an image of a registry that wants a password', () => {
        const how = ['--tls-verify=false', '--creds', CREDS, `docker://${closed.host}/alpha:v3`];
        assert.deepEqual(proxied(...how), pulled(['--insecure-policy', ...how]));
      });

      test('images of a layout', () => {
        for (const image of images)
          assert.deepEqual(
            proxied(`oci:${folder.inside}/layout:${image}`),
            pulled([`oci:${folder.path}/layout:${image}`]),
            image,
          );
      });

      test('images of a store', () => {
        for (const image of images) assert.deepEqual(proxied(stored(image)), pulled([storedHere(image)]), image);
      });

      test('an image with a manifest of docker has the same files, and a manifest of OCI', () => {
        const direct = pulled([`dir:${folder.path}/docker`]);
        const through = proxied(`dir:${folder.inside}/docker`);
        assert.deepEqual(through.at(-1), direct.at(-1));
        assert.notEqual(through[0], direct[0]);
      });

      test('a tarball, which only skopeo opens', () => {
        const [manifest, config] = proxied(`tarball:${folder.inside}/root.tar`);
        assert.match(manifest!, /^manifest sha256:/);
        assert.match(config!, /^config {3}sha256:/);
      });

      const refused: [what: string, args: () => string[], says: RegExp][] = [
        ['an image that is not in the layout', () => [`oci:${folder.inside}/layout:none`], /finds no image oci:/],
        [
          'an image that is not in the registry',
          () => ['--tls-verify=false', `docker://${plain.host}/alpha:none`],
          /finds no image docker:/,
        ],
        ['an image that is not in the store', () => [stored('none:1')], /finds no image containers-storage:/],
        [
          'a wrong password',
          () => ['--tls-verify=false', '--creds', 'user:no', `docker://${closed.host}/alpha:v3`],
          /uthenticat|nauthorized/,
        ],
        [
          'no password',
          () => ['--tls-verify=false', '--no-creds', `docker://${closed.host}/alpha:v3`],
          /uthenticat|nauthorized/,
        ],
        ['a transport that nobody knows', () => ['nonsense:x'], /unknown transport/],
      ];
      for (const [what, args, says] of refused)
        test(`${what} is an error that says so`, () => {
          const repository = makeRepository(join(folder.path, `repository-${count++}`));
          const how = ['--proxy-command', skopeoOf(tree), '--insecure-policy', ...args()];
          const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...how]);
          assert.equal(status, 1);
          assert.match(stderr, says);
        });

      test('a policy that refuses is obeyed, or it is said that it is not asked', () => {
        writeFileSync(join(folder.path, 'policy.json'), '{"default":[{"type":"reject"}]}');
        const repository = makeRepository(join(folder.path, `repository-${count++}`));
        const how = ['--proxy-command', skopeoOf(tree), '--policy', `${folder.inside}/policy.json`];
        const { status, stderr } = runCli([
          '--repo',
          repository,
          'oci',
          'pull',
          ...how,
          `oci:${folder.inside}/layout:alpha:v3`,
        ]);
        assert.equal(status, 1);
        assert.match(stderr, tree === 'sid' ? /rejected by policy/ : /asks no policy.*--insecure-policy/);
      });

      test('what skopeo says last is in the error', () => {
        const repository = makeRepository(join(folder.path, `repository-${count++}`));
        const how = ['--proxy-command', `${skopeoOf(tree)} --no-such-option`];
        const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...how, 'oci:x']);
        assert.equal(status, 1);
        assert.match(stderr, /ended with status 1: .*unknown flag: --no-such-option/);
      });

      test('inspect shows the same', () => {
        const how = ['--proxy-command', skopeoOf(tree), '--insecure-policy', '--tls-verify=false'];
        const reference = `docker://${plain.host}/alpha:v3`;
        const direct = runCli(['oci', 'inspect', '--insecure-policy', '--tls-verify=false', reference]);
        const through = runCli(['oci', 'inspect', ...how, reference]);
        assert.equal(through.status, 0, through.stderr);
        assert.equal(through.stdout, direct.stdout);
      });

      test('several images, one after the other, leave no process', async () => {
        for (let i = 0; i < 3; i++) {
          await using source = await openProxyImage(`oci:${folder.inside}/layout:alpha:v3`, {
            command: [skopeoOf(tree)],
            policy: 'any',
          });
          assert.ok(source.layers.length > 0);
        }
        await assertNoProxies();
      });

      test('Ctrl-C ends the proxy, too', async (t) => {
        const repository = makeRepository(join(folder.path, `repository-${count++}`));
        // A registry that accepts connections and says nothing.
        const sockets: Socket[] = [];
        const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
        t.after(() => {
          silent.close();
          for (const socket of sockets) socket.destroy();
        });
        await once(silent, 'listening');
        const { port } = silent.address() as { port: number };
        const how = ['--proxy-command', skopeoOf(tree), '--insecure-policy', '--tls-verify=false'];
        const child = spawn(
          cfsbridge,
          ['--repo', repository, 'oci', 'pull', ...how, `docker://127.0.0.1:${port}/a:1`],
          {
            stdio: 'ignore',
          },
        );
        t.after(() => child.kill());
        await once(silent, 'connection');
        assert.equal(proxies().length, 1);
        child.kill('SIGINT');
        await once(child, 'exit');
        await assertNoProxies();
      });
    });
});

/** In the environment of what `skopeoOf` starts, with the number of this process: others start proxies, too. */
const MARK = 'CFSBRIDGE_TEST_PROXY_OF';

/** What was told to end needs a moment. */
async function assertNoProxies(): Promise<void> {
  for (const start = Date.now(); proxies().length > 0 && Date.now() - start < 10_000; ) await pause(20);
  assert.deepEqual(proxies(), []);
}

/** Processes that are image proxies of skopeo and were started here. */
function proxies(): string[] {
  const words = (pid: string, file: string): string[] => readFileSync(`/proc/${pid}/${file}`, 'latin1').split('\0');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = words(pid, 'cmdline');
        if (line[0] !== 'skopeo' || !line.includes('experimental-image-proxy')) return false;
        return words(pid, 'environ').includes(`${MARK}=${process.pid}`);
      } catch {
        return false;
      }
    });
}
