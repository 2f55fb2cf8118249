// Pulls from and pushes to the registry of Go's go-containerregistry, which is an odd one: it knows no open ranges, does
// not tell how far an upload is, and takes no blob over from another repository.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCli } from '../support/cli/run-cli.js';
import { startCli } from '../support/cli/start-cli.js';
import { Layout, tarOf, TYPES } from '../support/images/source-layout.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { buildPeer, start, type Running } from '../peers/peers.js';
import { runInPeers, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const noPeers = whyNoPeers();
const peer = noPeers === false ? buildPeer('registry-go') : { missing: noPeers };

describe('the registry of go-containerregistry', { skip: 'missing' in peer && peer.missing }, () => {
  let folder: SharedFolder;
  let store: SmallStore;
  let server: Running;
  let host: string;
  let repository: string;

  before(async () => {
    assert.ok('program' in peer);
    folder = new SharedFolder();
    store = unpackSmallStore(folder.path);
    mkdirSync(join(folder.path, 'blobs'));
    server = await start([peer.program, join(folder.path, 'blobs')]);
    host = server.first.replace('listening on ', '');
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    store.remove();
    folder[Symbol.dispose]();
  });

  function inTree(...command: string[]): string {
    const { status, stdout, stderr } = runInPeers(...command);
    assert.equal(status, 0, stderr);
    return stdout.trim();
  }
  function ours(...args: string[]): { stdout: string; stderr: string } {
    const { status, ...said } = runCli(['--repo', repository, 'oci', ...args]);
    assert.equal(status, 0, said.stderr);
    return said;
  }
  const pull = (reference: string, name: string): string => {
    const how = reference.startsWith('docker:') ? ['--insecure-policy', '--tls-verify=false'] : [];
    return ours('pull', ...how, reference, name).stdout;
  };
  const lineOf = (stdout: string, what: string): string => new RegExp(`^${what} .*$`, 'm').exec(stdout)?.[0] ?? '';

  for (const format of ['gzip', 'zstd', 'zstd:chunked'])
    test(`${format} layers, pushed by skopeo, become what they become from oci:`, () => {
      const graphroot = store.graphroot.replace(folder.path, folder.inside);
      const from = `containers-storage:[overlay@${graphroot}+${folder.inside}/run]localhost/alpha:v3`;
      const reference = `docker://${host}/theirs/image:${format.replace(':', '-')}`;
      const layout = `layout-${format.replace(':', '-')}`;
      const copy = ['skopeo', '--insecure-policy', 'copy', '-q'];
      const how = ['--dest-tls-verify=false', '--dest-compress-format', format, '--format', 'oci'];
      inTree(...copy, ...how, from, reference);
      inTree(...copy, '--src-tls-verify=false', '--preserve-digests', reference, `oci:${folder.inside}/${layout}:it`);
      const [here, there] = [pull(reference, 'here'), pull(`oci:${join(folder.path, layout)}:it`, 'there')];
      for (const what of ['manifest', 'config', 'verity']) assert.equal(lineOf(here, what), lineOf(there, what));
    });

  for (const compression of ['gzip', 'zstd', 'none'])
    test(`a push with ${compression}: skopeo finds that manifest, and it is pulled again`, () => {
      pull(`docker://${host}/theirs/image:gzip`, 'image');
      const reference = `docker://${host}/ours/image:${compression}`;
      const pushed = lineOf(
        ours('push', '--tls-verify=false', '--compression', compression, 'image', reference).stdout,
        'manifest',
      );
      const found = inTree('skopeo', 'inspect', '--tls-verify=false', '--format', '{{.Digest}}', reference);
      assert.match(pushed, new RegExp(`^manifest ${found}`));
      assert.equal(lineOf(pull(reference, 'again'), 'manifest'), `manifest ${found}`);
      assert.equal(ours('compute-id', 'again').stdout, ours('compute-id', 'image').stdout);
    });

  test('a push that was killed is sent anew, which is said', async (t) => {
    const layout = new Layout(join(folder.path, 'large'));
    const tar = tarOf({ large: randomBytes(24 << 20) });
    const descriptor = { mediaType: `${TYPES.layer}+gzip` };
    layout.publish({ it: layout.image([{ tar, blob: gzipSync(tar, { level: 1 }), descriptor }]) });
    ours('pull', '--keep-blobs', `oci:${layout.path}:it`, 'large');
    const relay = await relayTo(t, host);
    const push = [
      '--repo',
      repository,
      'oci',
      'push',
      '--tls-verify=false',
      'large',
      `docker://${relay.host}/ours/large:1`,
    ];
    const first = startCli(push);
    relay.after(10 << 20, () => first.child.kill('SIGKILL'));
    assert.equal((await first.ended).status, null);
    const { status, stderr } = await startCli(push).ended;
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^blob {2}\w+.* is sent anew: the registry does not tell what it has of an earlier push$/m);
    assert.match(pull(`docker://${host}/ours/large:1`, 'back'), /^manifest sha256:/m);
  });
});

/** A place that passes everything on, and once stops doing so. */
async function relayTo(
  t: TestContext,
  host: string,
): Promise<{ host: string; after(bytes: number, then: () => void): void }> {
  let [left, then] = [Infinity, (): void => undefined];
  const server = createServer((client) => {
    const upstream = connect(Number(host.split(':')[1]), '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
    upstream.pipe(client);
    client.on('data', (piece: Buffer) => {
      if (left < 0) return;
      left -= piece.length;
      if (left < 0) then();
      else if (!upstream.write(piece)) client.pause();
    });
    upstream.on('drain', () => client.resume());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    after: (bytes, what) => {
      left = bytes;
      then = () => {
        what();
        // The client is gone by then; those after it are served.
        setImmediate(() => (left = Infinity));
      };
    },
  };
}
