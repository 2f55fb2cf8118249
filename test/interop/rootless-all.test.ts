// An ordinary user's repository and store kept in step, with the user's own podman as the judge.
import assert from 'node:assert/strict';
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { ROOTLESS, whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';
import { straysOf } from '../support/images/store-strays.js';
import { succeed, whyNoPeers } from './peers.js';
import { assertSound, fixedNamesOf } from './repositories.js';
import { MAPPED, placeOf, podmanOn, RootlessPeers, WAYS } from './rootless-peers.js';
import { filesBelow } from './snapshot.js';

/** Built on the other one, with a file of another user. */
const ABOVE = 'localhost/above:1';

interface All {
  images: { name: string; outcome: string; manifest_digest: string | null; error: string | null }[];
  skipped: { name: string }[];
}

describe("an ordinary user's repository and store", { skip: whyNoPeers() || whyNoRootlessUser() }, () => {
  let peer: RootlessPeers;
  before(() => {
    peer = new RootlessPeers();
    peer.context('above', `FROM ${MAPPED}\nCOPY --chown=2000:2000 Containerfile /above\n`);
    peer.build('above', ABOVE);
  });
  after(() => peer[Symbol.dispose]());

  const outcomes = ({ images }: All): Record<string, string> =>
    Object.fromEntries(images.map(({ name, outcome, error }) => [name, error ?? outcome]));

  function all(
    repository: string,
    way: 'push' | 'pull',
    store: string,
    options: string[] = [],
    how: Surroundings = {},
  ) {
    const { stdout, stderr } = peer.succeed(
      ['--repo', repository, 'oci', way, '--all', '--json', ...options, store],
      how,
    );
    return { outcomes: outcomes(JSON.parse(stdout) as All), said: stderr };
  }

  /** What podman lists: each name with the id and the digest of its image. */
  function listed(podman: readonly string[]): string[] {
    const images = JSON.parse(peer.inTree(...podman, 'images', '--no-trunc', '--format', 'json')) as {
      Id: string;
      Digest: string;
      Names?: string[];
    }[];
    return images.flatMap(({ Id, Digest, Names = [] }) => Names.map((name) => `${name} ${Id} ${Digest}`)).sort();
  }

  for (const [how, surroundings, says] of WAYS) {
    test(`${how}: all images come into a repository, and from there into an empty store`, () => {
      const repository = peer.newRepository();
      const pulled = all(repository, 'pull', 'containers-storage:', [], surroundings);
      assert.deepEqual(pulled.outcomes, { [ABOVE]: 'new', [MAPPED]: 'new' });
      assert.match(pulled.said, says);
      const again = all(repository, 'pull', 'containers-storage:', [], surroundings);
      assert.deepEqual(again.outcomes, { [ABOVE]: 'there', [MAPPED]: 'there' });
      assertSound(repository);
      const owners = filesBelow(repository).map((path) => lstatSync(join(repository, path)).uid);
      assert.deepEqual([...new Set(owners)], [ROOTLESS]);
      assert.deepEqual(fixedNamesOf(repository), fixedNamesOf(pulledByRoot()));

      const store = peer.newPath('store');
      const dry = all(repository, 'push', placeOf(store), ['--dry-run'], surroundings);
      assert.deepEqual(dry.outcomes, { [ABOVE]: 'new', [MAPPED]: 'new' });
      assert.ok(!existsSync(store));
      const pushed = all(repository, 'push', placeOf(store), [], surroundings);
      assert.deepEqual(pushed.outcomes, { [ABOVE]: 'new', [MAPPED]: 'new' });
      assert.match(pushed.said, says);
      assert.deepEqual(all(repository, 'push', placeOf(store), [], surroundings).outcomes, {
        [ABOVE]: 'there',
        [MAPPED]: 'there',
      });
      const podman = podmanOn(store);
      assert.deepEqual(
        listed(podman),
        listed(['podman']).filter((line) => line.startsWith('localhost/')),
      );
      assert.equal(peer.inTree(...podman, 'system', 'check'), '');
      assert.deepEqual(straysOf(store), []);
      for (const name of [MAPPED, ABOVE]) assert.equal(peer.listing(podman, name), peer.listing(['podman'], name));
    });
  }

  /** Root reads the store of a user who has these ids. */
  function pulledByRoot(): string {
    const asRoot = (command: readonly string[]): string[] => peer.user.asRoot(command);
    const repository = peer.newRepository(asRoot);
    const store = `containers-storage:[overlay@${peer.graphroot}]`;
    const [program = '', ...args] = asRoot([cfsbridge, '--repo', repository, 'oci', 'pull', '--all', store]);
    succeed(program, args);
    return repository;
  }

  test('what moved moves, and is removed when that is asked for, unless podman uses it', () => {
    const [repository, other] = [peer.newRepository(), peer.newRepository()];
    all(repository, 'pull', 'containers-storage:');
    const store = peer.newPath('store');
    const podman = podmanOn(store);
    all(repository, 'push', placeOf(store));
    all(other, 'pull', placeOf(store));
    const before = listed(podman);
    peer.inTree(...podman, 'create', '--name', 'user', MAPPED, '/sbin/sudo');
    const oci = (...args: string[]): unknown => peer.succeed(['--repo', repository, 'oci', ...args]);
    const [, id, digest] = before.find((line) => line.startsWith(MAPPED))!.split(' ') as [string, string, string];
    oci('tag', digest, ABOVE);
    oci('untag', MAPPED);
    const says = { [ABOVE]: 'moved', [MAPPED]: 'removed' };
    assert.deepEqual(all(repository, 'push', placeOf(store), ['--prune', '--dry-run']).outcomes, says);
    assert.deepEqual(listed(podman), before);
    assert.deepEqual(all(repository, 'push', placeOf(store), ['--prune']).outcomes, says);
    // The container's image has the other name now.
    assert.deepEqual(listed(podman), [`${ABOVE} ${id} ${digest}`]);
    assert.deepEqual(all(other, 'pull', placeOf(store), ['--prune']).outcomes, says);
    assert.deepEqual(all(other, 'pull', placeOf(store), ['--prune']).outcomes, { [ABOVE]: 'there' });
    assertSound(other);

    // The image that has lost its name is podman's to remove.
    peer.inTree(...podman, 'image', 'prune', '--force');
    const prunes = (name: string): void => {
      oci('untag', name);
      assert.deepEqual(all(repository, 'push', placeOf(store), ['--prune']).outcomes, { [name]: 'removed' });
    };
    prunes(ABOVE);
    assert.deepEqual(ids(podman), [`sha256:${id}`], 'a container uses it');
    peer.inTree(...podman, 'rm', 'user');
    oci('tag', digest, MAPPED);
    all(repository, 'push', placeOf(store));
    // What only podman's mount namespace has, its notes in the runroot tell.
    peer.inTree(...podman, 'unshare', ...podman, 'image', 'mount', MAPPED);
    prunes(MAPPED);
    assert.deepEqual(ids(podman), [`sha256:${id}`], 'it is mounted');
    assert.equal(peer.inTree(...podman, 'system', 'check'), '');
    peer.inTree(...podman, 'unshare', ...podman, 'image', 'umount', id);
    peer.inTree(...podman, 'rmi', id);
    assert.deepEqual(ids(podman), []);
    oci('tag', digest, MAPPED);
    all(repository, 'push', placeOf(store));
    prunes(MAPPED);
    assert.deepEqual(ids(podman), []);
    assert.deepEqual(straysOf(store), []);
  });

  const ids = (podman: readonly string[]): string[] =>
    peer
      .inTree(...podman, 'images', '--all', '--quiet', '--no-trunc')
      .split('\n')
      .filter(Boolean);
});
