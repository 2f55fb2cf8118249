import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { copyTo } from '../../src/oci/push/remote.js';
import { RemoteRepository } from '../../src/oci/remote/remote-repository.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { VarlinkRemoteError } from '../../src/rpc/varlink/varlink-error.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { withoutLeak } from '../support/open-fds.js';
import { buildPeer } from '../peers/peers.js';
import { cfsctl, hashOfOutput, SharedFolder, storeImages, succeed, whyNoStore } from './peers.js';
import { assertSound, fixedNamesOf, makeRepository, pullHere } from './repositories.js';
import { filesBelow } from './snapshot.js';
import { startServer, servers, type ServerName } from './varlink-servers.js';

const reader = buildPeer('varlink-rust');
const examples = [buildPeer('example-go'), buildPeer('example-rust')];

async function pull(path: string, socket: string, from: string, image: string): Promise<PullResult> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openSocketImage(socket, image, { repository: from });
  return await pullImage(repository, source, { name: image });
}

function theirs(path: string, algorithm: Algorithm): string {
  succeed(cfsctl, ['--repo', path, 'init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`]);
  return path;
}

for (const name of Object.keys(servers) as ServerName[])
  describe(`${name} serves repositories over varlink`, { skip: whyNoStore() }, () => {
    let folder: SharedFolder;
    let socket: string;
    let full: string;
    let server: AsyncDisposable;
    const pulled = new Map<string, PullResult>();
    const below = (path: string): string => join(folder.path, path);
    const diffIds = (image: string): string[] => pulled.get(image)!.layers.map(({ diffId }) => diffId);

    before(async () => {
      folder = new SharedFolder();
      socket = below('socket');
      full = makeRepository(below('full'));
      for (const image of storeImages) pulled.set(image, await pullHere(full, image, { name: image }));
      server = await startServer(name, socket);
    });
    after(async () => {
      await server[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    });

    test('all images are pulled with the digests that they have in process', async () => {
      const here = makeRepository(below('pulled'));
      for (const image of storeImages) {
        const result = await withoutLeak(() => pull(here, socket, full, image));
        const expected = pulled.get(image)!;
        assert.deepEqual(
          result.layers.map(({ diffId, actual, stream }) => [diffId, actual, stream]),
          expected.layers.map(({ diffId, stream }) => [diffId, diffId, stream]),
        );
        assert.deepEqual(
          [result.manifestDigest, result.configStream, [...result.images]],
          [expected.manifestDigest, expected.configStream, [...expected.images]],
        );
      }
      assert.deepEqual(fixedNamesOf(here), fixedNamesOf(full));
      assertSound(here);
    });

    test('all images are sent into a repository of cfsctl', async () => {
      const there = theirs(below('sent'), 'sha512');
      await withoutLeak(async () => {
        using repository = await Repository.open(full);
        await using remote = await RemoteRepository.connect(socket, there);
        for (const image of storeImages) {
          const reply = await copyTo(repository, image, remote, { name: image });
          const { manifestDigest, configDigest, configStream } = pulled.get(image)!;
          assert.deepEqual(
            [reply.manifestDigest, reply.configDigest, reply.configVerity],
            [manifestDigest, configDigest, configStream],
          );
        }
      });
      assert.deepEqual(fixedNamesOf(there), fixedNamesOf(full));
      assertSound(there);
    });

    test('between repositories of different algorithms, in both directions', async () => {
      const small = makeRepository(below('sha256'), 'sha256');
      const expected = await pullHere(makeRepository(below('expected'), 'sha256'), 'mid', { name: 'mid' });
      const result = await pull(small, socket, full, 'mid');
      assert.deepEqual([...result.images], [...expected.images]);
      const there = theirs(below('back'), 'sha512');
      using repository = await Repository.open(small);
      await using remote = await RemoteRepository.connect(socket, there);
      const reply = await copyTo(repository, 'mid', remote, { name: 'mid' });
      assert.equal(reply.configVerity, pulled.get('mid')!.configStream);
      assertSound(there);
    });

    test('the commands: oci pull, and oci copy in both directions', () => {
      const [here, there] = [makeRepository(below('commands-here')), theirs(below('commands-there'), 'sha512')];
      const ours = (repository: string, ...args: string[]): string =>
        succeed(cfsbridge, ['--repo', repository, 'oci', ...args]);
      const verity = pulled.get('mid')!.configStream;
      assert.match(ours(here, 'pull', '--socket', socket, '--from', full, 'mid'), /^tagged +mid$/m);
      assert.ok(
        ours(here, 'copy', 'mid', '--socket', socket, '--from', full, '--name', 'copied').includes(
          `Config verity:   ${verity}\n`,
        ),
      );
      assert.ok(
        ours(full, 'copy', 'mid', '--socket', socket, '--to', there, '--name', 'sent').includes(
          `Config verity:   ${verity}\n`,
        ),
      );
      assert.equal(
        succeed(cfsctl, ['--repo', there, 'oci', 'inspect', 'sent']),
        succeed(cfsctl, ['--repo', here, 'oci', 'inspect', 'copied']),
      );
    });

    test('zero-copy shares the objects', async () => {
      const there = theirs(below('shared'), 'sha512');
      using repository = await Repository.open(full);
      await using remote = await RemoteRepository.connect(socket, there);
      await copyTo(repository, 'base', remote, { name: 'base', zeroCopy: true });
      const names = filesBelow(join(there, 'objects'));
      const inode = (repository: string, name: string): number | undefined =>
        lstatSync(join(repository, 'objects', name), { throwIfNoEntry: false })?.ino;
      const shared = names.filter((name) => inode(there, name) === inode(full, name));
      assert.ok(shared.length > 8000 && shared.length > names.length - 10, `${shared.length} of ${names.length}`);
    });

    test('what the server does not have, and does not take', async () => {
      const there = theirs(below('refused'), 'sha512');
      const refused = (error: string) => (thrown: unknown) => {
        const cause = thrown instanceof VarlinkRemoteError ? thrown : (thrown as Error).cause;
        assert.ok(cause instanceof VarlinkRemoteError, String(thrown));
        assert.equal(cause.error, error);
        return true;
      };
      await assert.rejects(pull(below('sha256'), socket, full, 'none'), refused('org.composefs.Oci.NoSuchImage'));
      await assert.rejects(
        pull(below('sha256'), socket, below('nowhere'), 'mid'),
        refused('org.composefs.Repository.RepoNotFound'),
      );
      await using remote = await RemoteRepository.connect(socket, there);
      assert.equal(await remote.storedLayer(diffIds('base')[0]!), undefined);
      await assert.rejects(remote.layer(diffIds('base')[0]!), refused('org.composefs.Oci.NoSuchLayer'));
    });

    test("a Rust client of composefs-rs' own libraries", { skip: 'missing' in reader && reader.missing }, () => {
      const program = 'program' in reader ? reader.program : '';
      for (const diffId of diffIds('many')) assert.equal(hashOfOutput(program, ['tar', socket, full, diffId]), diffId);
      const there = theirs(below('rust'), 'sha512');
      const reply = JSON.parse(succeed(program, ['copy', socket, full, socket, there, 'many', 'many'])) as {
        config_verity: string;
      };
      assert.equal(reply.config_verity, pulled.get('many')!.configStream);
      assertSound(there);
    });

    for (const [index, language] of ['Go', 'Rust'].entries()) {
      const example = examples[index]!;
      test(`the example in ${language}`, { skip: 'missing' in example && example.missing }, () => {
        const program = 'program' in example ? example.program : '';
        for (const diffId of diffIds('mid')) assert.equal(hashOfOutput(program, [socket, full, diffId]), diffId);
        const other = `sha256:${'0'.repeat(64)}`;
        const { status, stderr } = spawnSync(program, [socket, full, other], { encoding: 'utf8' });
        assert.equal(status, 1);
        assert.match(stderr, /NoSuchLayer/);
      });
    }
  });
