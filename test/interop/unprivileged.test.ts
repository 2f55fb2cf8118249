import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { graphroot, SharedFolder, succeed, whyNoPeers, whyNoStore, cfsctl } from './peers.js';
import { pullOverSocket, StoreServer } from './processes.js';
import { assertSound, fixedNamesOf, makeRepository, pullHere } from './repositories.js';
import { asUser, USER, whyNoUser } from './ordinary-user.js';
import { makeSmallStore } from './small-image.js';
import { filesBelow } from './snapshot.js';

describe('an ordinary user pulls over a socket from a server that runs as root', {
  skip: whyNoPeers() || whyNoUser(),
}, () => {
  let folder: SharedFolder;
  let small: string;
  before(() => {
    folder = new SharedFolder();
    chmodSync(folder.path, 0o755);
    small = makeSmallStore(folder);
  });
  after(() => folder[Symbol.dispose]());

  test('files that only their owner can read arrive, too', async () => {
    await pullAsUser('small', small);
  });

  test('a whole system', { skip: whyNoStore() }, async () => {
    await pullAsUser('mid', graphroot);
  });

  async function pullAsUser(image: string, store: string): Promise<void> {
    const home = join(folder.path, `home-${image}`);
    mkdirSync(home);
    chownSync(home, USER, USER);
    const theirs = join(home, 'repository');
    const [command = '', ...options] = asUser;
    succeed(command, [...options, cfsctl, '--repo', theirs, 'init', '--insecure']);

    const socket = join(folder.path, `socket-${image}`);
    await using server = await StoreServer.start(socket, store);
    void server;
    const pulled = pullOverSocket(theirs, socket, image, image, asUser);
    const mine = makeRepository(join(folder.path, `root-${image}`));
    const expected = await pullHere(mine, image, { name: image }, store);

    assert.deepEqual(pulled.images, [...expected.images.values()]);
    assert.deepEqual(fixedNamesOf(theirs), fixedNamesOf(mine));
    const owners = new Set(filesBelow(theirs).map((name) => lstatSync(join(theirs, name)).uid));
    assert.deepEqual([...owners], [USER]);
    assertSound(theirs);
  }
});
