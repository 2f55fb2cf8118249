// Images that we push: into docker's registry and into folders, taken from there by skopeo, podman and cfsctl.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { CREDS, HTPASSWD, startRegistry, type Server, tlsFile } from './docker-registry.js';
import { cfsctl, SharedFolder, succeed, whyNoPeers, inTree } from './peers.js';
import { makeRepository } from './repositories.js';

describe('pushes', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let store: SmallStore;
  let repository: string;
  let graphroot: string;
  const servers: Server[] = [];
  let plain: Server;

  before(async () => {
    folder = new SharedFolder();
    store = unpackSmallStore(folder.path);
    graphroot = store.graphroot.replace(folder.path, folder.inside);
    plain = await startRegistry(folder, 'plain');
    servers.push(plain);
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    skopeo(stored('alpha:v3'), `oci:${folder.inside}/alpha:it`);
    ours('oci', 'pull', `oci:${join(folder.path, 'alpha')}:it`, 'tars');
    ours('oci', 'pull', '--keep-blobs', `oci:${join(folder.path, 'alpha')}:it`, 'kept');
  });
  after(async () => {
    for (const { child } of servers) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    }
    store.remove();
    folder[Symbol.dispose]();
  });

  const stored = (image: string): string =>
    `containers-storage:[overlay@${graphroot}+${folder.inside}/run]localhost/${image}`;
  const skopeo = (...args: string[]): string => inTree('skopeo', '--insecure-policy', 'copy', '-q', ...args);
  function ours(...args: string[]): { stdout: string; stderr: string } {
    const { status, ...said } = runCli(['--repo', repository, ...args]);
    assert.equal(status, 0, said.stderr);
    return said;
  }
  const manifestIn = (text: string): string => /^manifest (sha256:\w+)$/m.exec(text)?.[1] ?? '';
  const treeOf = (image: string): string => ours('oci', 'compute-id', image).stdout;

  let count = 0;
  /** The EROFS image that cfsctl makes of an image in a layout, and the image's manifest. */
  function byCfsctl(layout: string): string {
    const path = makeRepository(join(folder.path, `theirs-${count++}`), 'sha256');
    succeed(cfsctl, ['--repo', path, 'oci', 'pull', `oci:${layout}`, 'it']);
    return succeed(cfsctl, ['--repo', path, 'oci', 'compute-id', 'it']);
  }

  for (const compression of [undefined, 'gzip', 'zstd', 'none'])
    test(`into a registry, ${compression ?? 'as it was'}; skopeo, podman and cfsctl take it from there`, () => {
      const reference = `docker://${plain.host}/ours/image:${compression ?? 'kept'}`;
      const how = compression === undefined ? ['kept'] : ['tars', '--compression', compression];
      const [name = '', ...options] = how;
      const pushed = manifestIn(ours('oci', 'push', '--tls-verify=false', ...options, name, reference).stdout);
      const layout = `layout-${compression}`;
      skopeo('--src-tls-verify=false', '--preserve-digests', reference, `oci:${folder.inside}/${layout}:it`);
      const inspected = inTree('skopeo', 'inspect', '--tls-verify=false', '--format', '{{.Digest}}', reference);
      assert.equal(inspected.trim(), pushed);
      assert.equal(byCfsctl(`${join(folder.path, layout)}:it`), treeOf(name));
      const root = join(folder.path, `store-${compression}`);
      const at = ['--root', root.replace(folder.path, folder.inside), '--runroot', `${folder.inside}/run-podman`];
      inTree('podman', ...at, 'pull', '-q', '--tls-verify=false', reference);
      const own = `containers-storage:[overlay@${root}]${reference.slice('docker://'.length)}`;
      ours('oci', 'pull', own, `podman-${compression}`);
      assert.equal(treeOf(`podman-${compression}`), treeOf(name));
    });

  test('kept blobs come back with the manifest that was pulled, and a second push sends nothing', () => {
    const reference = `docker://${plain.host}/ours/again:1`;
    const { stdout } = ours('oci', 'push', '--tls-verify=false', '--json', 'kept', reference);
    assert.equal((JSON.parse(stdout) as { unchanged: boolean }).unchanged, true);
    assert.match(ours('oci', 'push', '--tls-verify=false', 'kept', reference).stdout, /^blobs {4}0 sent, 0 B;/m);
  });

  test('cfsctl keeps kept blobs with the image; when it writes the manifest again they go, and a push says so', () => {
    const path = makeRepository(join(folder.path, 'both'), 'sha256');
    const image = `oci:${join(folder.path, 'alpha')}:it`;
    const here = (...args: string[]): { stdout: string; stderr: string } => {
      const { status, ...said } = runCli(['--repo', path, 'oci', ...args]);
      assert.equal(status, 0, said.stderr);
      return said;
    };
    const pulled = manifestIn(here('pull', '--keep-blobs', image, 'it').stdout);
    succeed(cfsctl, ['--repo', path, 'gc']);
    succeed(cfsctl, ['--repo', path, 'fsck']);
    assert.equal(manifestIn(here('push', 'it', `oci:${join(folder.path, 'both-1')}`).stdout), pulled);
    succeed(cfsctl, ['--repo', path, 'oci', 'pull', image, 'it']);
    succeed(cfsctl, ['--repo', path, 'gc']);
    const { stdout, stderr } = here('push', 'it', `oci:${join(folder.path, 'both-2')}`);
    assert.notEqual(manifestIn(stdout), pulled);
    assert.match(stderr, /is compressed anew: its blob sha256:\w+ is not in the repository; .* cfsctl lets go of it/);
    here('untag', 'it');
    succeed(cfsctl, ['--repo', path, 'gc']);
    assert.match(succeed(cfsctl, ['--repo', path, 'gc']), /^Objects: 0 removed/m);
  });

  for (const transport of ['oci-archive', 'docker-archive', 'dir'])
    test(`${transport}: is read by skopeo`, () => {
      const suffix = transport === 'dir' ? '' : ':name:tag';
      ours('oci', 'push', 'tars', `${transport}:${join(folder.path, `out-${transport}`)}${suffix}`);
      skopeo(`${transport}:${folder.inside}/out-${transport}${suffix}`, `oci:${folder.inside}/from-${transport}:it`);
      assert.equal(byCfsctl(`${join(folder.path, `from-${transport}`)}:it`), treeOf('tars'));
    });

  test('a layout that skopeo made gets another image, and skopeo adds one to ours', () => {
    ours('oci', 'push', 'tars', `oci:${join(folder.path, 'alpha')}:second`);
    skopeo(stored('alpha:v3'), `oci:${folder.inside}/alpha:third`);
    for (const name of ['it', 'second', 'third'])
      assert.equal(byCfsctl(`${join(folder.path, 'alpha')}:${name}`), treeOf('tars'));
  });

  test('TLS of a private authority, and a password', async () => {
    for (const name of ['server.crt', 'server.key']) copyFileSync(tlsFile(name), join(folder.path, name));
    writeFileSync(join(folder.path, 'htpasswd'), HTPASSWD);
    const certs = join(folder.path, 'certs');
    if (!existsSync(certs)) mkdirSync(certs);
    copyFileSync(tlsFile('ca.crt'), join(certs, 'ca.crt'));
    const tls = { tls: { certificate: `${folder.inside}/server.crt`, key: `${folder.inside}/server.key` } };
    const auth = { htpasswd: { realm: 'here', path: `${folder.inside}/htpasswd` } };
    const server = await startRegistry(folder, 'closed', tls, auth);
    servers.push(server);
    const reference = `docker://${server.host}/ours/image:1`;
    const pushed = ours('oci', 'push', '--cert-dir', certs, '--creds', CREDS, 'kept', reference);
    const how = ['--cert-dir', `${folder.inside}/certs`, '--creds', CREDS, '--format', '{{.Digest}}'];
    assert.equal(inTree('skopeo', 'inspect', ...how, reference).trim(), manifestIn(pushed.stdout));
    const { status, stderr } = runCli(['--repo', repository, 'oci', 'push', '--cert-dir', certs, 'kept', reference]);
    assert.equal(status, 1);
    assert.match(stderr, /nobody is logged in at .*status 401/);
  });
});
