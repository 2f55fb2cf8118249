import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { getSplitFDStream } from '../../../src/rpc/jsonrpc/client.js';
import { withoutLeak } from '../../support/open-fds.js';
import {
  clientAndSocket,
  closeAll,
  fixture,
  numberedFiles,
  readRequest,
  replay,
} from '../../support/servers/replay.js';

// Recorded as the answer to request 2; renumbered, since each run is a connection's first request.
const recorded = Buffer.from(
  fixture('zeta_f300/layer-0.response.json').toString('latin1').replace('"id":2', '"id":1'),
  'latin1',
);
const frames = [
  { bytes: 65, fds: 150 },
  { bytes: 1, fds: 150 },
];
const files = numberedFiles(300);

/** "ok", or the code of the typed error the client's call ended with. */
async function outcome(bytes: Buffer): Promise<string> {
  return withoutLeak(async () => {
    const [client, server] = clientAndSocket();
    const call = getSplitFDStream(client, { layerId: 'x' }).then(
      (reply) => {
        closeAll([reply.stream, ...(reply.format === 'splitfdstream' ? reply.files : [...reply.dirs, reply.lease])]);
        return 'ok';
      },
      (error: unknown) => (error instanceof BridgeError ? error.code : `untyped: ${String(error)}`),
    );
    await readRequest(server);
    await replay(server, bytes, frames, files).catch(() => {});
    server.close();
    const result = await call;
    client.close();
    return result;
  });
}

async function outcomes(variants: Iterable<Buffer>): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  for (const variant of variants) {
    const result = await outcome(variant);
    assert.match(result, /^(ok|[A-Z_]+)$/, JSON.stringify(variant.toString('latin1')));
    seen.set(result, (seen.get(result) ?? 0) + 1);
  }
  return seen;
}

function* cut(): Generator<Buffer> {
  for (let length = 0; length < recorded.length; length++) yield recorded.subarray(0, length);
}

function* changed(): Generator<Buffer> {
  for (let at = 0; at < recorded.length; at++)
    for (const byte of [0x00, 0x20, 0x22, 0x2d, 0x2e, 0x31, 0x39, 0x5b, 0x7d, 0xff]) {
      const variant = Buffer.from(recorded);
      variant[at] = byte;
      yield variant;
    }
}

test('the recorded answer passes', async () => assert.equal(await outcome(recorded), 'ok'));

test('an answer cut at any byte ends in a typed error and leaks nothing', async () => {
  const seen = await outcomes(cut());
  assert.deepEqual([...seen.keys()].sort(), ['MISMATCHED_COUNT', 'PEER_GONE', 'UNEXPECTED_END']);
  assert.equal(seen.get('PEER_GONE'), 1, 'only where nothing had arrived');
});

test('an answer changed at any byte ends in a typed error or another valid answer, and leaks nothing', async () => {
  const seen = await outcomes(changed());
  for (const code of ['ok', 'FRAMING_ERROR', 'INVALID_MESSAGE', 'MISMATCHED_COUNT', 'INVALID_RESULT', 'UNEXPECTED_END'])
    assert.ok(seen.has(code), `${code} missing in ${[...seen].join(' ')}`);
});
