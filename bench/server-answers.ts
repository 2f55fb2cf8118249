import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { connect } from '../src/fd/fd-passing.js';
import { sourceFromFd } from '../src/fd/byte-source.js';
import { JsonRpcConnection } from '../src/rpc/jsonrpc/connection.js';
import { getSplitFDStream } from '../src/rpc/jsonrpc/client.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../src/rpc/contracts/features.js';
import { methods, type GetSplitFDStreamParams } from '../src/rpc/contracts/splitfdstream.js';
import type { Bench } from './bench.js';
import type { Row, Sample } from './samples.js';
import { Server } from './server.js';

const formats: readonly { name: string; params: Partial<GetSplitFDStreamParams> }[] = [
  { name: 'splitdirfdstream', params: { format: FEATURE_SPLITDIRFDSTREAM } },
  { name: 'splitfdstream', params: { exact: true } },
];

/** From the request for a layer to the reply, and on to the end of the stream that comes with it. */
export async function* serverAnswers(bench: Bench): AsyncGenerator<Row, void> {
  for (const image of bench.images.filter((name) => name === 'base' || name === 'big')) {
    for (const { name, params } of formats) {
      bench.progress(`server ${image}, ${name}`);
      await using server = await Server.start(bench.store, join(bench.work, 'socket'));
      const replies: Sample[] = [];
      const streams: Sample[] = [];
      for (let turn = 0; turn <= bench.repetitions; turn++) {
        const { reply, stream } = await ask(server.socket, image, params, bench.signal);
        if (turn === 0) continue;
        replies.push({ wall: reply });
        streams.push({ wall: stream });
      }
      yield {
        case: 'server',
        subject: `${image}, ${name}`,
        series: [
          { program: 'reply', samples: replies },
          { program: 'end of the stream', samples: streams },
        ],
      };
    }
  }
}

/** @returns seconds since the request */
async function ask(
  socket: string,
  image: string,
  params: Partial<GetSplitFDStreamParams>,
  signal: AbortSignal,
): Promise<{ reply: number; stream: number }> {
  using rpc = new JsonRpcConnection(await connect(socket, { signal }));
  const { result } = await rpc.call(methods.GetImage, { imageId: `localhost/${image}` });
  const [layerId = '', parentId = ''] = result.layerDigests ?? [];
  const start = performance.now();
  const answer = await getSplitFDStream(rpc, { layerId, parentId, ...params });
  const reply = performance.now();
  const others = answer.format === 'splitfdstream' ? answer.files : [...answer.dirs, answer.lease];
  try {
    await using bytes = sourceFromFd(answer.stream);
    let length = 0;
    for await (const piece of bytes) length += piece.length;
    if (length === 0) throw new Error(`the stream of ${image} is empty`);
  } finally {
    for (const fd of others) fd.close();
  }
  return { reply: (reply - start) / 1e3, stream: (performance.now() - start) / 1e3 };
}
