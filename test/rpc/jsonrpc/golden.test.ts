// Recorded bytes of containers' splitfdstream server, replayed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHOD_NOT_FOUND, RemoteError } from '../../../src/rpc/rpc-error.js';
import { getFeatures, getSplitFDStream } from '../../../src/rpc/jsonrpc/client.js';
import { methods } from '../../../src/rpc/contracts/splitfdstream.js';
import { withoutLeak } from '../../support/open-fds.js';
import {
  clientAndSocket,
  closeAll,
  fixture,
  numberedFiles,
  numbersOf,
  readRequest,
  replay,
} from '../../support/servers/replay.js';

interface Index {
  layers_top_first: string[];
  streams: {
    layer: number;
    layerId: string;
    parentId: string;
    streamSize: number;
    top_level_fds: number;
    recv_frames: { bytes: number; fds: number }[];
  }[];
}

for (const image of ['zeta_f300', 'alpha_v2']) {
  const index = JSON.parse(fixture(`${image}/index.json`).toString()) as Index;

  test(`${image}: GetImage`, async () => {
    await withoutLeak(async () => {
      const [client, server] = clientAndSocket();
      const { params } = JSON.parse(fixture(`${image}/GetImage.request.json`).toString()) as {
        params: { imageId: string };
      };
      const call = client.call(methods.GetImage, params);
      const request = await readRequest(server);
      assert.deepEqual(request, JSON.parse(fixture(`${image}/GetImage.request.json`).toString()));
      await server.send(fixture(`${image}/GetImage.response.json`));
      const { result, fds } = await call;
      assert.deepEqual(result.layerDigests, index.layers_top_first);
      assert.equal(typeof JSON.parse(result.config), 'object');
      assert.equal(fds.length, 0);
      client.close();
      server.close();
    });
  });

  for (const stream of index.streams)
    test(`${image}: layer ${stream.layer}, ${stream.top_level_fds} descriptors in ${stream.recv_frames.length} frames`, async () => {
      await withoutLeak(async () => {
        const [client, server] = clientAndSocket();
        const recorded = fixture(`${image}/layer-${stream.layer}.request.json`);
        const { id, params } = JSON.parse(recorded.toString()) as {
          id: number;
          params: { layerId: string; parentId: string };
        };
        for (let earlier = 1; earlier < id; earlier++) await answerNothing(client, server, earlier);
        const call = getSplitFDStream(client, params);
        assert.deepEqual(await readRequest(server), JSON.parse(recorded.toString()));
        const files = numberedFiles(stream.top_level_fds);
        await replay(server, fixture(`${image}/layer-${stream.layer}.response.json`), stream.recv_frames, files);
        closeAll(files);
        const reply = await call;
        assert.ok(reply.format === 'splitfdstream' && !reply.exact);
        assert.equal(reply.streamSize, stream.streamSize);
        const all = [reply.stream, ...reply.files];
        assert.deepEqual(
          numbersOf(all),
          Array.from({ length: stream.top_level_fds }, (_, i) => i),
        );
        closeAll(all);
        client.close();
        server.close();
      });
    });
}

/** Brings the client's request numbers to those of the recording. */
async function answerNothing(
  client: ReturnType<typeof clientAndSocket>[0],
  server: ReturnType<typeof clientAndSocket>[1],
  id: number,
): Promise<void> {
  const call = client.request('Nothing', {});
  await readRequest(server);
  // A Go server leaves a null result out.
  await server.send(Buffer.from(`{"jsonrpc":"2.0","id":${id}}\n`));
  assert.equal((await call).result, null);
}

test("error replies carry the server's number and text", async () => {
  const errors = JSON.parse(fixture('errors.json').toString()) as {
    request: { method: string; params: object };
    response: { error: { code: number; message: string } };
  }[];
  const [client, server] = clientAndSocket();
  let id = 1;
  for (const { request, response } of errors) {
    const call = client.request(request.method, request.params);
    assert.equal((await readRequest(server))['method'], request.method);
    await server.send(Buffer.from(JSON.stringify({ ...response, id: id++ })));
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof RemoteError);
      assert.equal(error.rpcCode, response.error.code);
      assert.ok(error.message.includes(response.error.message));
      return true;
    });
  }
  const unknown = errors.find(({ response }) => response.error.code === METHOD_NOT_FOUND)!;
  const features = getFeatures(client);
  await readRequest(server);
  await server.send(Buffer.from(JSON.stringify({ ...unknown.response, id })));
  assert.equal((await features).size, 0);
  client.close();
  server.close();
});
