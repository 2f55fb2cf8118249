import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PullResult } from '../../src/oci/pull/types.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { detailsJson, inspectImage, openImage } from '../../src/oci/image/image.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import {
  cfsctl,
  graphroot,
  hashOfOutput,
  SharedFolder,
  storeImages,
  succeed,
  whyNoStore,
  type StoreImage,
} from './peers.js';
import { pullOverSocket, StoreServer, type SocketPull } from './processes.js';
import {
  assertSound,
  assertSoundButForLinks,
  fixedNamesOf,
  makeRepository,
  namesOf,
  pullHere,
  pullReport,
  pullWithCfsctl,
} from './repositories.js';

const runs: [Algorithm, readonly StoreImage[]][] = [
  ['sha512', storeImages],
  ['sha256', ['base', 'mid']],
];

for (const [algorithm, images] of runs)
  describe(`one store pulled in process, over a socket and by cfsctl, ${algorithm}`, { skip: whyNoStore() }, () => {
    let folder: SharedFolder;
    let ours: string, sockets: string, theirs: string;
    const here = new Map<StoreImage, PullResult>();
    const there = new Map<StoreImage, SocketPull>();
    const reports = new Map<StoreImage, Record<string, string>>();

    before(async () => {
      folder = new SharedFolder();
      [ours = '', sockets = '', theirs = ''] = ['ours', 'sockets', 'theirs'].map((name) => join(folder.path, name));
      for (const path of [ours, sockets]) makeRepository(path, algorithm);
      succeed(cfsctl, ['--repo', theirs, 'init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`]);
      const socket = join(folder.path, 'socket');
      await using server = await StoreServer.start(socket, graphroot);
      void server;
      for (const image of images) {
        here.set(image, await pullHere(ours, image, { name: image }));
        there.set(image, pullOverSocket(sockets, socket, image, image));
        reports.set(image, pullReport(pullWithCfsctl(theirs, image, image)));
      }
    });
    after(() => folder[Symbol.dispose]());

    for (const image of images) {
      test(`${image}: the same digests of manifest, config, layers and EROFS image`, () => {
        const [mine, remote, report] = [here.get(image), there.get(image), reports.get(image)];
        assert.ok(mine && remote && report);
        assert.deepEqual([mine.manifestDigest, mine.configDigest], [report['manifest'], report['config']]);
        assert.deepEqual([remote.manifestDigest, remote.configDigest], [mine.manifestDigest, mine.configDigest]);
        const theirNames = namesOf(theirs);
        for (const { diffId, stream } of mine.layers)
          assert.equal(
            theirNames.get(`streams/oci-layer-${diffId}`),
            `../objects/${stream.slice(0, 2)}/${stream.slice(2)}`,
            diffId,
          );
        assert.deepEqual(
          remote.layers.map(({ stream }) => stream),
          mine.layers.map(({ stream }) => stream),
        );
        const [erofs] = [...mine.images.values()];
        assert.ok(erofs !== undefined && theirNames.has(`images/${erofs}`));
        assert.deepEqual(remote.images, [erofs]);
      });

      test(`${image}: cfsctl says the same of our repository as of its own, and as we say`, async () => {
        for (const args of [
          ['oci', 'compute-id', image],
          ['oci', 'inspect', image],
        ]) {
          const answer = succeed(cfsctl, ['--repo', ours, ...args]);
          assert.equal(answer, succeed(cfsctl, ['--repo', theirs, ...args]), args.join(' '));
          for (const repository of [ours, theirs])
            assert.equal(succeed(cfsbridge, ['--repo', repository, ...args]), answer, args.join(' '));
        }
        using repository = await Repository.open(theirs);
        const read = detailsJson(inspectImage(repository, await openImage(repository, image)));
        assert.deepEqual(
          read,
          JSON.parse(Buffer.from(succeed(cfsctl, ['--repo', theirs, 'oci', 'inspect', image]), 'latin1').toString()),
        );
      });
    }

    test('cfsctl finds nothing wrong in any of the three, and the names in them are the same', () => {
      assert.match(succeed(cfsctl, ['--repo', ours, 'fsck']), /^status: ok$/m);
      for (const repository of [ours, sockets]) assertSound(repository);
      assertSoundButForLinks(theirs);
      assert.deepEqual(fixedNamesOf(sockets), fixedNamesOf(ours));
      assert.deepEqual(fixedNamesOf(theirs), fixedNamesOf(ours));
    });

    test('oci images: both list the same', () => {
      const list = (program: string, repository: string): unknown[] => {
        const { images: found } = JSON.parse(succeed(program, ['--repo', repository, 'oci', 'images', '--json'])) as {
          images: { name: string }[];
        };
        return found.sort((a, b) => (a.name < b.name ? -1 : 1));
      };
      const expected = list(cfsctl, theirs);
      assert.equal(expected.length, images.length);
      for (const [program, repository] of [
        [cfsctl, ours],
        [cfsbridge, ours],
        [cfsbridge, theirs],
        [cfsctl, sockets],
      ] as const)
        assert.deepEqual(list(program, repository), expected);
    });

    test('oci layer: both write every layer of both repositories as the tar of its diff_id', () => {
      const diffIds = new Set([...here.values()].flatMap(({ layers }) => layers.map(({ diffId }) => diffId)));
      assert.ok(diffIds.size >= images.length);
      for (const diffId of diffIds) {
        assert.equal(hashOfOutput(cfsctl, ['--repo', ours, 'oci', 'layer', diffId]), diffId);
        assert.equal(hashOfOutput(cfsbridge, ['--repo', theirs, 'oci', 'layer', diffId]), diffId);
        const json = (program: string): unknown =>
          JSON.parse(succeed(program, ['--repo', ours, 'oci', 'layer', '--json', diffId]));
        assert.deepEqual(json(cfsbridge), json(cfsctl));
      }
    });
  });
