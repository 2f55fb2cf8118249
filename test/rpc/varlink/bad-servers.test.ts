// What a client makes of peers that do not keep to the protocol.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll, numberedFiles } from '../../support/servers/replay.js';
import { methods } from './test-interface.js';

/** Runs `use` with a client whose peer sends these frames, whatever is asked. */
async function against(
  frames: readonly [text: string, fds: number][],
  use: (client: VarlinkConnection, peer: Connection) => Promise<void>,
): Promise<void> {
  await withoutLeak(async () => {
    const [one, other] = socketpair();
    using peer = fromFd(other);
    using client = new VarlinkConnection(fromFd(one), { maxFds: 4 });
    const send = async (): Promise<void> => {
      await peer.receive();
      for (const [text, fds] of frames) {
        const files = numberedFiles(fds);
        await peer.send(Buffer.from(text), files).catch(() => {});
        closeAll(files);
      }
    };
    await Promise.all([send(), use(client, peer)]);
  });
}

const code = (expected: string) => (error: unknown) => {
  assert.equal(error instanceof BridgeError ? error.code : error, expected);
  return true;
};

const single: [name: string, frames: [string, number][], code: string][] = [
  ['garbage', [['HTTP/1.1 200 OK\0', 1]], 'FRAMING_ERROR'],
  ['a reply of another shape', [['{"parameters":{"count":"1"}}\0', 2]], 'INVALID_RESULT'],
  ['an empty reply', [['{}\0', 0]], 'INVALID_RESULT'],
  ['parameters that are no object', [['{"parameters":3}\0', 1]], 'INVALID_MESSAGE'],
  ['more replies than asked for', [['{"parameters":{"count":1},"continues":true}\0', 1]], 'INVALID_MESSAGE'],
  ['an error with descriptors', [['{"error":"a.b.C","parameters":{}}\0', 2]], 'VARLINK_ERROR'],
  [
    'too many descriptors',
    [
      ['{"parameters":', 3],
      ['{"count":1}}\0', 3],
    ],
    'TOO_MANY_FDS',
  ],
  ['half a reply', [['{"parameters":', 1]], 'RPC_TIMEOUT'],
];

for (const [name, frames, expected] of single) {
  test(`a server that sends ${name}`, async () => {
    await against(frames, async (client) => {
      await assert.rejects(client.call(methods.Return, {}, { silenceLimit: 100 }), code(expected));
      assert.equal(client.closed, expected !== 'VARLINK_ERROR');
    });
  });
}

test('a server that never answers', async () => {
  await against([], async (client) => {
    const calls = [client.call(methods.Return, {}, { silenceLimit: 50 }), client.call(methods.Return, {})];
    const [first, second] = await Promise.allSettled(calls);
    for (const result of [first!, second!]) code('RPC_TIMEOUT')((result as PromiseRejectedResult).reason);
  });
});

test('a server that goes away instead of answering', async () => {
  await against([['{"parameters":', 0]], async (client, peer) => {
    const call = client.call(methods.Return, {});
    setTimeout(() => peer.close(), 20);
    await assert.rejects(call, code('UNEXPECTED_END'));
  });
});

test('two replies to one call in one piece', async () => {
  await against([['{"parameters":{"count":1}}\0{"parameters":{"count":2}}\0', 0]], async (client) => {
    assert.equal((await client.call(methods.Return, {})).parameters.count, 1);
    await assert.rejects(client.call(methods.Return, {}), code('INVALID_MESSAGE'));
  });
});

test('two replies to one call, the second later and with descriptors', async () => {
  await against(
    [
      ['{"parameters":{"count":1}}\0', 0],
      ['{"parameters":{"count":2}}\0', 2],
    ],
    async (client) => {
      assert.equal((await client.call(methods.Return, {})).parameters.count, 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await assert.rejects(client.call(methods.Return, {}), code('INVALID_MESSAGE'));
    },
  );
});

test('replies that announce further ones and do not come', async () => {
  await against([['{"parameters":{"n":1},"continues":true}\0', 1]], async (client) => {
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { parameters, fds } of client.callMore(methods.Count, { to: 5 }, { silenceLimit: 100 })) {
        seen.push(parameters.n);
        closeAll(fds);
      }
    })();
    await assert.rejects(reading, code('RPC_TIMEOUT'));
    assert.deepEqual(seen, [1]);
  });
});

test('giving up a call while earlier ones wait ends all of them', async () => {
  await against([], async (client) => {
    const abort = new AbortController();
    const calls = [
      client.call(methods.Return, {}),
      client.call(methods.Return, {}, { signal: abort.signal }),
      client.call(methods.Return, {}),
    ];
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 20);
    for (const result of await Promise.allSettled(calls))
      assert.equal((result as PromiseRejectedResult).reason, reason);
    assert.equal(client.closed, true);
  });
});
