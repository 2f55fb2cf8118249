// What skopeo, podman and buildah have pushed to docker's registry, pulled from there.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { CREDS, HTPASSWD, startRegistry, type Server, tlsFile } from './docker-registry.js';
import { SharedFolder, whyNoPeers, inTree } from './peers.js';
import { makeRepository } from './repositories.js';

describe('docker-registry', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let store: SmallStore;
  let graphroot: string;
  const servers: Server[] = [];
  let plain: Server;

  const serve = async (...how: [string, object?, object?]): Promise<Server> => {
    const server = await startRegistry(folder, ...how);
    servers.push(server);
    return server;
  };
  const stored = (image: string): string =>
    `containers-storage:[overlay@${graphroot}+${folder.inside}/run]localhost/${image}`;
  const copy = (...args: string[]): string => inTree('skopeo', '--insecure-policy', 'copy', '-q', ...args);

  let count = 0;
  /** manifest, config, verity and tag, as they are printed, and the objects' line without how they came */
  function pulled(...args: string[]): string[] {
    const repository = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    const { status, stdout, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...args, 'it']);
    assert.equal(status, 0, stderr);
    const images = runCli(['--repo', repository, 'images']).stdout;
    return [...stdout.split('\n').slice(0, 4), images];
  }

  before(async () => {
    folder = new SharedFolder();
    store = unpackSmallStore(folder.path);
    graphroot = store.graphroot.replace(folder.path, folder.inside);
    plain = await serve('plain');
  });
  after(async () => {
    for (const { child } of servers) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    }
    store.remove();
    folder[Symbol.dispose]();
  });

  const pushes: [what: string, transport: 'oci' | 'dir', options: string[]][] = [
    ['gzip layers', 'oci', ['--dest-compress-format', 'gzip', '--format', 'oci']],
    ['zstd layers', 'oci', ['--dest-compress-format', 'zstd', '--format', 'oci']],
    ['zstd:chunked layers', 'oci', ['--dest-compress-format', 'zstd:chunked', '--format', 'oci']],
    ['a manifest of docker', 'dir', ['--format', 'v2s2']],
  ];
  for (const [index, [what, transport, options]] of pushes.entries()) {
    test(`${what}, pushed by skopeo, become what they become from ${transport}:`, () => {
      const reference = `docker://${plain.host}/pushed/image:${index}`;
      copy('--dest-tls-verify=false', ...options, stored('alpha:v3'), reference);
      assertSame(reference, transport);
    });
  }

  const storage = (): string[] => [
    '--storage-driver',
    'overlay',
    '--root',
    graphroot,
    '--runroot',
    `${folder.inside}/run`,
  ];

  /** Whether what a reference leads to is, pulled from there, what it is in a folder into which skopeo copied it. */
  function assertSame(reference: string, transport: 'oci' | 'dir', ...how: string[]): void {
    const name = `copy-${reference.slice(reference.indexOf('/', 9)).replace(/\W/g, '-')}`;
    const all = transport === 'oci' ? ['--all'] : [];
    copy('--src-tls-verify=false', '--preserve-digests', ...all, reference, `${transport}:${folder.inside}/${name}`);
    assert.deepEqual(
      pulled('--insecure-policy', '--tls-verify=false', ...how, reference),
      pulled(...how, `${transport}:${join(folder.path, name)}`),
    );
  }

  // Both may send blobs as they find them in the registry, unless they are told to compress.
  const forced = ['--format', 'oci', '--force-compression', '--compression-format'];
  const forms: [what: string, transport: 'oci' | 'dir', options: string[], inManifest: RegExp][] = [
    ['gzip', 'oci', [...forced, 'gzip'], /layer\.v1\.tar\+gzip"/],
    ['zstd', 'oci', [...forced, 'zstd'], /layer\.v1\.tar\+zstd"/],
    ['zstd:chunked', 'oci', [...forced, 'zstd:chunked'], /zstd-chunked\.manifest-checksum/],
    ['v2s2', 'dir', ['--format', 'v2s2'], /docker\.distribution\.manifest\.v2\+json/],
  ];
  for (const program of ['podman', 'buildah']) {
    for (const [what, transport, options, inManifest] of forms)
      test(`${what}, pushed by ${program}`, () => {
        const reference = `docker://${plain.host}/${program}/image:${what.replace(':', '-')}`;
        inTree(program, ...storage(), 'push', '-q', '--tls-verify=false', ...options, 'localhost/alpha:v3', reference);
        assert.match(inTree('skopeo', 'inspect', '--raw', '--tls-verify=false', reference), inManifest);
        assertSame(reference, transport);
      });

    test(`a list, pushed by ${program}`, () => {
      const reference = `docker://${plain.host}/${program}/list:1`;
      const manifest = (...command: string[]): string => inTree(program, ...storage(), 'manifest', ...command);
      const list = `localhost/list-${program}:1`;
      manifest('create', list);
      manifest('add', list, 'containers-storage:localhost/alpha:v3');
      manifest('add', '--arch', 'riscv64', list, 'containers-storage:localhost/alpha:v1');
      manifest('push', '-q', '--all', '--tls-verify=false', list, reference);
      assertSame(reference, 'oci');
      assertSame(reference, 'oci', '--platform', 'linux/riscv64');
    });
  }

  test('an artifact, pushed by podman', () => {
    writeFileSync(join(folder.path, 'a.txt'), 'some text\n');
    writeFileSync(join(folder.path, 'b.bin'), Buffer.alloc(200_000, 'b'));
    const name = `${plain.host}/podman/artifact:1`;
    const artifact = (...command: string[]): string => inTree('podman', ...storage(), 'artifact', ...command);
    artifact('add', name, `${folder.inside}/a.txt`, `${folder.inside}/b.bin`);
    artifact('push', '-q', '--tls-verify=false', name);
    assertSame(`docker://${name}`, 'oci');
  });

  test('an artifact, pushed by skopeo', () => {
    const layout = new Layout(join(folder.path, 'artifact'));
    layout.publish({ it: layout.artifact(['some text', Buffer.alloc(200_000, 'b')]) });
    const reference = `docker://${plain.host}/pushed/artifact:1`;
    copy('--dest-tls-verify=false', '--preserve-digests', `oci:${folder.inside}/artifact:it`, reference);
    assertSame(reference, 'oci');
  });

  test('a list: the image for this machine, and another by --platform', () => {
    const layout = new Layout(join(folder.path, 'layout'));
    const here = layout.image([{ tar: tarOf({ here: 'x'.repeat(500) }) }]);
    const other = layout.image([{ tar: tarOf({ other: 'y'.repeat(500) }) }], { os: 'linux', architecture: 'riscv64' });
    const index = layout.index([
      { ...other, platform: { os: 'linux', architecture: 'riscv64' } },
      { ...here, platform: { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch } },
    ]);
    layout.publish({ it: index });
    const reference = `docker://${plain.host}/pushed/list:1`;
    copy('--dest-tls-verify=false', '--all', '--preserve-digests', `oci:${folder.inside}/layout:it`, reference);
    assert.equal(pulled('--insecure-policy', '--tls-verify=false', reference)[0], `manifest ${here.digest}`);
    assert.equal(
      pulled('--insecure-policy', '--tls-verify=false', '--platform', 'linux/riscv64', reference)[0],
      `manifest ${other.digest}`,
    );
  });

  test('an authority and a password, each of which is needed', async () => {
    for (const name of ['server.crt', 'server.key', 'ca.crt']) copyFileSync(tlsFile(name), join(folder.path, name));
    writeFileSync(join(folder.path, 'htpasswd'), HTPASSWD);
    const certs = join(folder.path, 'certs');
    mkdirSync(certs);
    copyFileSync(tlsFile('ca.crt'), join(certs, 'ca.crt'));
    const tls = { tls: { certificate: `${folder.inside}/server.crt`, key: `${folder.inside}/server.key` } };
    const { host } = await serve('closed', tls, { htpasswd: { realm: 'here', path: `${folder.inside}/htpasswd` } });
    const reference = `docker://${host}/pushed/image:1`;
    copy('--dest-cert-dir', `${folder.inside}/certs`, '--dest-creds', CREDS, stored('alpha:v3'), reference);
    const own = `docker://${plain.host}/pushed/again:1`;
    copy(
      '--src-cert-dir',
      `${folder.inside}/certs`,
      '--src-creds',
      CREDS,
      '--dest-tls-verify=false',
      '--preserve-digests',
      reference,
      own,
    );
    assert.deepEqual(
      pulled('--insecure-policy', '--cert-dir', certs, '--creds', CREDS, reference),
      pulled('--insecure-policy', '--tls-verify=false', own),
    );
    const tags = runCli(['oci', 'tags', '--cert-dir', certs, '--creds', CREDS, `docker://${host}/pushed/image`]);
    assert.equal(tags.stdout, '1\n', tags.stderr);
    const inspect = (...args: string[]): string => {
      const { status, stderr } = runCli(['oci', 'inspect', '--insecure-policy', ...args, reference]);
      assert.equal(status, 1);
      return stderr;
    };
    assert.match(inspect('--creds', CREDS), /no encrypted connection/);
    assert.match(inspect('--cert-dir', certs), /UNAUTHORIZED.*status 401/);
    assert.match(inspect('--cert-dir', certs, '--creds', 'user:wrong'), /UNAUTHORIZED.*status 401/);
  });
});
