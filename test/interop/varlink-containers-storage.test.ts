import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BridgeError } from '../../src/errors.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { Repository } from '../../src/repository/repository.js';
import { VarlinkRemoteError } from '../../src/rpc/varlink/varlink-error.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { withoutLeak } from '../support/open-fds.js';
import { buildPeer, start, type Running } from '../peers/peers.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { writeDocuments } from './documents.js';
import { graphroot, SharedFolder, storeImages, succeed, whyNoStore } from './peers.js';
import { pullOverSocket } from './processes.js';
import { asUser, USER, whyNoUser } from './ordinary-user.js';
import { assertSound, fixedNamesOf, makeRepository, pullHere } from './repositories.js';
import { makeSmallStore } from './small-image.js';
import { StoreWriter } from './store-writer.js';

const peer = buildPeer('containers-storage');
const program = 'program' in peer ? peer.program : '';

/** Serves an image of a store with containers-storage's own code. */
function serve(socket: string, store: string, image: string): Promise<Running> {
  return start([program, socket, store, image], 4096);
}

async function pull(repository: string, socket: string, reference: string, name: string): Promise<PullResult> {
  using opened = await Repository.open(repository, { write: true });
  await using source = await openSocketImage(socket, reference);
  return await pullImage(opened, source, { name });
}

async function pullFrom(repository: string, socket: string, from: string): Promise<PullResult> {
  using opened = await Repository.open(repository, { write: true });
  await using source = await openSocketImage(socket, 'small', { repository: from });
  return await pullImage(opened, source);
}

describe('containers-storage 1.65 serves images over varlink', {
  skip: ('missing' in peer && peer.missing) || whyNoStore(),
}, () => {
  let folder: SharedFolder;
  before(() => (folder = new SharedFolder()));
  after(() => folder[Symbol.dispose]());
  const below = (name: string): string => join(folder.path, name);

  describe('the small store', () => {
    let store: SmallStore;
    before(() => (store = unpackSmallStore(folder.path)));
    after(() => store.remove());

    for (const { dir, names } of Object.values(smallIndex()))
      test(`${names[0]}: as in process`, async () => {
        const name = names[0] as string;
        const documents = await writeDocuments(below(`documents-${dir}`), name, store.graphroot);
        await using server = await serve(below(`${dir}.socket`), store.graphroot, name);
        void server;
        const [theirs, mine] = [`served-${dir}`, `direct-${dir}`].map((repository) =>
          makeRepository(below(repository)),
        ) as [string, string];
        const served = await pull(theirs, below(`${dir}.socket`), documents, 'image');
        const direct = await pullHere(mine, name, { name: 'image' }, store.graphroot);
        assert.deepEqual(
          served.layers.map(({ diffId, actual, stream }) => [diffId, actual, stream]),
          direct.layers.map(({ diffId, stream }) => [diffId, diffId, stream]),
        );
        assert.deepEqual([...served.images], [...direct.images]);
        assert.deepEqual(fixedNamesOf(theirs), fixedNamesOf(mine));
      });
  });

  describe('a real store', () => {
    let theirs: string, mine: string;
    before(
      () => ([theirs, mine] = ['served', 'direct'].map((name) => makeRepository(below(name))) as [string, string]),
    );

    for (const image of storeImages)
      test(`${image}: verified, as in process, and while others want to write to the store`, async () => {
        await using server = await serve(below(`${image}.socket`), graphroot, `localhost/${image}:latest`);
        await using writer = await StoreWriter.start(graphroot);
        const reference = `containers-storage:[overlay@${graphroot}+${folder.path}/run]localhost/${image}:latest`;
        const served = await withoutLeak(() => pull(theirs, below(`${image}.socket`), reference, image));
        assert.ok((await writer.stop()) > 0, 'nobody could write meanwhile');
        const direct = await pullHere(mine, image, { name: image });
        assert.deepEqual(
          served.layers.map(({ diffId, actual, stream }) => [diffId, actual, stream]),
          direct.layers.map(({ diffId, stream }) => [diffId, diffId, stream]),
        );
        assert.deepEqual([...served.images], [...direct.images]);
        assert.equal(served.manifestDigest, direct.manifestDigest);
        assert.equal(server.errors(), '');
      });

    test('nothing is wrong with what was pulled', () => {
      assert.deepEqual(fixedNamesOf(theirs), fixedNamesOf(mine));
      assertSound(theirs);
    });

    test('manifest and config of another image: its layers are not there', async () => {
      await using server = await serve(below('other.socket'), graphroot, 'localhost/base:latest');
      void server;
      const documents = await writeDocuments(below('documents-mid'), 'mid', graphroot);
      await assert.rejects(pull(makeRepository(below('other')), below('other.socket'), documents, 'mid'), (error) => {
        assert.ok(error instanceof BridgeError && error.cause instanceof VarlinkRemoteError);
        assert.equal(error.cause.error, 'org.composefs.Oci.NoSuchLayerIndex');
        assert.deepEqual(error.cause.parameters, { layer_index: 1 });
        return true;
      });
    });
  });

  describe('an ordinary user', { skip: whyNoUser() }, () => {
    let small: string;
    before(() => {
      chmodSync(folder.path, 0o755);
      small = makeSmallStore(folder);
    });

    for (const [image, store] of [
      ['small', () => small],
      ['mid', () => graphroot],
    ] as const)
      test(`${image}: files that only their owner can read arrive, too`, async () => {
        const home = below(`home-${image}`);
        mkdirSync(home);
        chownSync(home, USER, USER);
        const theirs = join(home, 'repository');
        const [command = '', ...options] = asUser;
        succeed(command, [...options, cfsbridge, '--repo', theirs, 'init', '--insecure']);
        const documents = await writeDocuments(below(`documents-user-${image}`), image, store());
        const socket = below(`user-${image}.socket`);
        await using server = await serve(socket, store(), `localhost/${image}:latest`);
        void server;
        chmodSync(socket, 0o777);
        const pulled = pullOverSocket(theirs, socket, documents, image, asUser);
        const mine = makeRepository(below(`root-${image}`));
        const expected = await pullHere(mine, image, { name: image }, store());
        assert.deepEqual(pulled.images, [...expected.images.values()]);
        assert.deepEqual(fixedNamesOf(theirs), fixedNamesOf(mine));
        assert.equal(lstatSync(join(theirs, 'objects')).uid, USER);
        assertSound(theirs);
      });

    test('whose own server is refused by others: its names would be opened with their rights', async () => {
      const [command = '', ...options] = asUser;
      const home = below('home-small');
      const socket = join(home, 'socket');
      await using server = await start([command, ...options, cfsbridge, 'varlink', '--address', socket], 4096);
      void server;
      await assert.rejects(pullFrom(makeRepository(below('refusing')), socket, join(home, 'repository')), {
        code: 'UNTRUSTED_SERVER',
      });
    });
  });
});
