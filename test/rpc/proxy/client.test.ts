// What the client makes of image proxies, honest ones and others.
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { Fd, fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { proxyMethods, rawBlobError, type ProxyReply } from '../../../src/rpc/contracts/image-proxy.js';
import { ProxyClient } from '../../../src/rpc/proxy/client.js';
import { decodeRequest, encodeReply, encodeRequest } from '../../../src/rpc/proxy/packet.js';
import { ProxyError } from '../../../src/rpc/proxy/proxy-error.js';
import { withoutLeak } from '../../support/open-fds.js';

const SILENCE = 400;

type Answer = Buffer | { reply: object; fds?: number } | 'close' | 'silence';

const text = (packet: string): Buffer => Buffer.from(packet);

const ok = (value: unknown, pipeid = 0): object => ({ success: true, value, pipeid, error_code: '', error: '' });
const hello = (version = '0.2.8'): Answer => ({ reply: ok(version) });

/** Runs `use` with what starts a client; the peer answers one request after the other as the list says. */
async function against(
  answers: readonly Answer[],
  use: (start: () => Promise<ProxyClient>, asked: string[]) => Promise<void>,
): Promise<void> {
  await withoutLeak(async () => {
    const [one, other] = socketpair('seqpacket');
    using peer = fromFd(other);
    const asked: string[] = [];
    const answering = answer(peer, answers, asked);
    try {
      await use(() => ProxyClient.start(one, { silenceLimit: SILENCE }), asked);
    } finally {
      one.close();
      peer.close();
      await answering;
    }
  });
}

async function answer(peer: Connection, answers: readonly Answer[], asked: string[]): Promise<void> {
  for (const next of answers) {
    const packet = await peer.receive().catch(() => undefined);
    if (packet === undefined) return;
    asked.push(packet.bytes.toString());
    if (next === 'silence') continue;
    if (next === 'close') return peer.close();
    const fds = Array.from({ length: 'fds' in next ? (next.fds ?? 0) : 0 }, nothing);
    const bytes = Buffer.isBuffer(next) ? next : Buffer.from(JSON.stringify(next.reply));
    await peer.send(bytes, fds).catch(() => undefined);
    for (const fd of fds) fd.close();
  }
}

function nothing(): Fd {
  return new Fd(openSync('/dev/null', 'r'));
}

const code = (expected: string) => (error: unknown) => {
  assert.equal(error instanceof BridgeError ? error.code : error, expected);
  return true;
};

const manifest = (client: ProxyClient): Promise<unknown> =>
  client.request(proxyMethods.GetManifest, [1]).then(({ value, pipeid, fds }) => {
    for (const fd of fds) fd.close();
    return { value, pipeid, fds: fds.length };
  });

test('requests are packets as the original reads them', async () => {
  await against([hello(), { reply: ok(7, 12), fds: 1 }], async (start, asked) => {
    using client = await start();
    const { value, pipeid, fds } = await client.request(proxyMethods.GetBlob, [1, 'sha256:00', 7]);
    assert.deepEqual([value, pipeid, fds.length], [7, 12, 1]);
    for (const fd of fds) fd.close();
    assert.deepEqual(asked, ['{"method":"Initialize","args":[]}', '{"method":"GetBlob","args":[1,"sha256:00",7]}']);
  });
});

test('Shutdown has no reply', async () => {
  await against([hello(), 'silence'], async (start, asked) => {
    using client = await start();
    await client.shutdown();
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(asked[1], '{"method":"Shutdown","args":[]}');
  });
});

const versions: [version: string, raw: boolean, varlink: boolean][] = [
  ['0.2.3', false, false],
  ['0.2.6', false, false],
  ['0.2.8', true, false],
  ['0.2.9', true, true],
  ['0.2.12', true, true],
  ['0.2.9-dev', true, true],
];
for (const [version, raw, varlink] of versions)
  test(`a proxy of ${version} is asked for ${raw ? '' : 'no '}raw blobs and ${varlink ? 'a' : 'no'} socket`, async () => {
    await against([hello(version)], async (start) => {
      using client = await start();
      assert.equal(client.knows(proxyMethods.GetRawBlob), raw);
      assert.equal(client.knows(proxyMethods.OpenVarlinkSocket), varlink);
    });
  });

for (const version of ['0.2.2', '0.3.0', '1.0.0', '0.2', '0.2.9.1', '', 'latest', '0.2.99999999'])
  test(`a proxy of version "${version}" is refused`, async () => {
    await against([hello(version)], async (start) => {
      await assert.rejects(start(), code('PROXY_VERSION'));
    });
  });

const failure = { success: false, value: null, pipeid: 0, error: 'no image 1' };
const errors: [title: string, reply: object, kind: string | undefined][] = [
  ['an error of 0.2.8', { ...failure, error_code: 'retryable' }, 'retryable'],
  ['an error before 0.2.8', failure, undefined],
  ['an error of a kind that nobody knows', { ...failure, error_code: 'cosmic rays' }, 'other'],
];
for (const [title, reply, kind] of errors)
  test(`${title} says what the proxy said, and the connection goes on`, async () => {
    await against([hello(), { reply }, { reply: ok('sha256:1', 3), fds: 1 }], async (start) => {
      using client = await start();
      await assert.rejects(manifest(client), (error) => {
        assert.ok(error instanceof ProxyError);
        assert.equal(error.message, 'GetManifest: no image 1');
        assert.deepEqual([error.said, error.kind], ['no image 1', kind]);
        return true;
      });
      assert.deepEqual(await manifest(client), { value: 'sha256:1', pipeid: 3, fds: 1 });
    });
  });

test('what drives terminals is not in the message', async () => {
  await against([hello(), { reply: { ...failure, error: 'a\x1b[2Jb\n' } }], async (start) => {
    using client = await start();
    await assert.rejects(manifest(client), (error: Error) => {
      assert.doesNotMatch(error.message, /[\x00-\x1f]/);
      return true;
    });
  });
});

const bad: [title: string, answer: Answer, code: string][] = [
  ['bytes that are no JSON', text('HTTP/1.1 200 OK'), 'FRAMING_ERROR'],
  ['half a reply', text('{"success":true,"value":"sha256:1","pipe'), 'FRAMING_ERROR'],
  ['an array', text('[]'), 'FRAMING_ERROR'],
  ['a request', text('{"method":"GetManifest","args":[1]}'), 'FRAMING_ERROR'],
  ['a packet that is no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'FRAMING_ERROR'],
  ['a packet beyond 32 KiB', Buffer.alloc(32769, 0x20), 'PACKET_TRUNCATED'],
  ['a packet beyond 32 KiB with descriptors', { reply: { junk: 'x'.repeat(40_000) }, fds: 2 }, 'PACKET_TRUNCATED'],
  ['a success that is text', { reply: { ...ok('sha256:1', 1), success: 'yes' }, fds: 1 }, 'FRAMING_ERROR'],
  ['a negative pipe id', { reply: ok('sha256:1', -1), fds: 1 }, 'FRAMING_ERROR'],
  ['a pipe id with a fraction', { reply: ok('sha256:1', 1.5), fds: 1 }, 'FRAMING_ERROR'],
  ['a pipe id beyond 2^53', text('{"success":true,"value":"x","pipeid":9007199254740993,"error":""}'), 'FRAMING_ERROR'],
  ['no pipe', { reply: ok('sha256:1', 4) }, 'MISMATCHED_COUNT'],
  ['two descriptors for one', { reply: ok('sha256:1', 4), fds: 2 }, 'MISMATCHED_COUNT'],
  ['two hundred descriptors', { reply: ok('sha256:1', 4), fds: 200 }, 'MISMATCHED_COUNT'],
  ['a pipe without an id', { reply: ok('sha256:1', 0), fds: 1 }, 'INVALID_MESSAGE'],
  ['an error with a descriptor', { reply: failure, fds: 1 }, 'MISMATCHED_COUNT'],
  ['an error with a pipe id', { reply: { ...failure, pipeid: 3 } }, 'INVALID_MESSAGE'],
  ['a value of another kind', { reply: ok(3, 4), fds: 1 }, 'INVALID_RESULT'],
  ['its end', 'close', 'PEER_GONE'],
  ['nothing', 'silence', 'RPC_TIMEOUT'],
];
for (const [title, sent, expected] of bad)
  test(`a proxy that answers with ${title} is left, and nothing leaks`, async () => {
    await against([hello(), sent], async (start) => {
      using client = await start();
      const [first, second] = [manifest(client), manifest(client)];
      await assert.rejects(first, code(expected));
      await assert.rejects(second, code(expected), 'what waits behind it');
      await assert.rejects(manifest(client), code(expected), 'what comes later');
    });
  });

for (const [title, sent, expected] of [
  ['ends at once', 'close', 'PEER_GONE'],
  ['says nothing', 'silence', 'RPC_TIMEOUT'],
  ['wants to be greeted otherwise', { reply: failure }, 'PROXY_ERROR'],
  ['sends a descriptor with its version', { reply: ok('0.2.8'), fds: 1 }, 'MISMATCHED_COUNT'],
] satisfies [string, Answer, string][])
  test(`a proxy that ${title} is left`, async () => {
    await against([sent], async (start) => {
      await assert.rejects(start(), code(expected));
    });
  });

const shapes: [title: string, ask: (client: ProxyClient) => Promise<unknown>, value: unknown][] = [
  ['OpenImage', (client) => client.request(proxyMethods.OpenImage, ['oci:x']), 0],
  ['OpenImage', (client) => client.request(proxyMethods.OpenImage, ['oci:x']), 1.5],
  ['OpenImage', (client) => client.request(proxyMethods.OpenImage, ['oci:x']), 2 ** 53],
  ['OpenImageOptional', (client) => client.request(proxyMethods.OpenImageOptional, ['oci:x']), -1],
  ['CloseImage', (client) => client.request(proxyMethods.CloseImage, [1]), 1],
  ['GetLayerInfo', (client) => client.request(proxyMethods.GetLayerInfo, [1]), {}],
  ['GetLayerInfo', (client) => client.request(proxyMethods.GetLayerInfo, [1]), [{ digest: 'x', size: 1 }]],
  [
    'GetLayerInfo',
    (client) => client.request(proxyMethods.GetLayerInfo, [1]),
    [{ digest: 'x', size: -2, media_type: '' }],
  ],
];
for (const [title, ask, value] of shapes)
  test(`${title} with the value ${JSON.stringify(value)} ends the conversation`, async () => {
    await against([hello(), { reply: ok(value) }], async (start) => {
      using client = await start();
      await assert.rejects(ask(client), code('INVALID_RESULT'));
    });
  });

test('FinishPipe may take as long as somebody reads, and no longer', async () => {
  await against([hello(), { reply: ok('sha256:1', 4), fds: 1 }, 'silence'], async (start) => {
    using client = await start();
    await manifest(client);
    const times: number[] = [];
    const began = performance.now();
    const read = new Promise((resolve) => setTimeout(resolve, 2 * SILENCE));
    void read.then(() => times.push(performance.now() - began));
    await assert.rejects(client.finishPipe(4, read), code('RPC_TIMEOUT'));
    assert.equal(times.length, 1);
    assert.ok(performance.now() - began >= 3 * SILENCE - 50);
  });
});

test('the error of a raw blob says what kind it is, whatever kinds there will be', () => {
  assert.deepEqual(rawBlobError.parse({ code: 'EPIPE', message: 'm' }), { code: 'EPIPE', message: 'm' });
  assert.deepEqual(rawBlobError.parse({ code: 'later', message: 'm' }), { code: 'other', message: 'm' });
  for (const wrong of [undefined, [], {}, { code: 'other' }, { message: 3, code: 'other' }])
    assert.equal(rawBlobError.safeParse(wrong).success, false);
});

test('a request that was given up leaves the others their replies, and no descriptor', async () => {
  await against(
    [hello(), { reply: ok('sha256:1', 4), fds: 1 }, { reply: ok('sha256:2', 5), fds: 1 }],
    async (start) => {
      using client = await start();
      const abort = new AbortController();
      const given = client.request(proxyMethods.GetManifest, [1], { signal: abort.signal });
      const kept = manifest(client);
      abort.abort(new Error('enough'));
      await assert.rejects(given, /enough/);
      assert.deepEqual(await kept, { value: 'sha256:2', pipeid: 5, fds: 1 });
    },
  );
});

test('a reference that fits in no packet is refused before it is sent', async () => {
  await against([hello(), { reply: ok(1) }], async (start) => {
    using client = await start();
    const long = client.request(proxyMethods.OpenImage, [`oci:${'x'.repeat(32768)}`]);
    await assert.rejects(long, code('MESSAGE_TOO_LARGE'));
    assert.equal((await client.request(proxyMethods.OpenImage, ['oci:x'])).value, 1);
  });
});

test('replies have their members in the order of the original, with and without error_code', () => {
  const reply: ProxyReply = { error: '', pipeid: 3, value: 'x', success: true };
  assert.equal(encodeReply(reply).toString(), '{"success":true,"value":"x","pipeid":3,"error":""}');
  assert.equal(
    encodeReply({ error: 'e', error_code: 'other', pipeid: 0, value: undefined, success: false }).toString(),
    '{"success":false,"value":null,"pipeid":0,"error_code":"other","error":"e"}',
  );
});

test('a request without arguments is one, as Go writes it', () => {
  for (const text of [
    '{"method":"Initialize"}',
    '{"method":"Initialize","args":null}',
    '{"method":"Initialize","args":[]}',
  ])
    assert.deepEqual(decodeRequest(Buffer.from(text)), { method: 'Initialize', args: [] });
  assert.equal(encodeRequest({ method: 'A', args: [] }).toString(), '{"method":"A","args":[]}');
  assert.deepEqual(decodeRequest(Buffer.from('{}')), { method: '', args: [] });
  for (const text of ['{"method":1}', '{"method":"A","args":{}}', 'null', ''])
    assert.throws(() => decodeRequest(Buffer.from(text)), code('FRAMING_ERROR'));
});
