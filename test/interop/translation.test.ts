// One protocol in, the other one out: an image comes over varlink and is served over JSON-RPC, and the other way round.
// The far end is always a client that is not ours.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import type { ImageSource } from '../../src/oci/source/source.js';
import { Repository } from '../../src/repository/repository.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { askWith, buildPeer, start } from '../peers/peers.js';
import { graphroot, hashOfOutput, SharedFolder, whyNoStore } from './peers.js';
import { makeRepository } from './repositories.js';
import { startServer } from './varlink-servers.js';

const source = buildPeer('containers-storage');
const jsonrpc = buildPeer('jsonrpc-rust');
const varlink = buildPeer('varlink-rust');
const missing =
  [source, jsonrpc, varlink].map((peer) => 'missing' in peer && peer.missing).find((reason) => reason !== false) ??
  false;
const program = (peer: typeof source): string => ('program' in peer ? peer.program : '');

describe('between the protocols', { skip: missing || whyNoStore() }, () => {
  let folder: SharedFolder;
  before(() => (folder = new SharedFolder()));
  after(() => folder[Symbol.dispose]());
  const below = (name: string): string => join(folder.path, name);

  async function pull(path: string, opened: Promise<ImageSource>, name: string): Promise<PullResult> {
    using repository = await Repository.open(path, { write: true });
    await using image = await opened;
    return await pullImage(repository, image, { name });
  }

  for (const image of ['base', 'mid', 'many']) {
    test(`${image}: from containers-storage over varlink to a client of JSON-RPC`, async () => {
      const [path, socket] = [makeRepository(below(`from-varlink-${image}`)), below(`containers-storage-${image}`)];
      await using server = await start([program(source), socket, graphroot, `localhost/${image}:latest`], 4096);
      void server;
      const reference = `containers-storage:[overlay@${graphroot}+${folder.path}/run]localhost/${image}:latest`;
      const { layers } = await pull(path, openSocketImage(socket, reference), image);
      await using translated = await start(
        [cfsbridge, '--repo', path, 'serve', '--repository', '--socket', below(`json-${image}`)],
        4096,
      );
      void translated;
      const report = askWith({ program: program(jsonrpc) }, below(`json-${image}`), image);
      assert.deepEqual(
        report.layers.map(({ digest }) => digest).reverse(),
        layers.map(({ diffId }) => diffId),
      );
    });

    test(`${image}: from a store over JSON-RPC to a client of varlink`, async () => {
      const [path, socket] = [makeRepository(below(`from-json-${image}`)), below(`serve-${image}`)];
      await using server = await start([cfsbridge, 'serve', '--root', graphroot, '--socket', socket], 4096);
      void server;
      const { layers } = await pull(path, openSplitfdstreamImage(socket, `localhost/${image}:latest`), image);
      await using translated = await startServer('cfsbridge', below(`varlink-${image}`));
      void translated;
      for (const { diffId } of layers)
        assert.equal(hashOfOutput(program(varlink), ['tar', below(`varlink-${image}`), path, diffId]), diffId);
    });
  }
});
