import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromFd, socketpair } from '../../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import { INVALID_PARAMS, METHOD_NOT_FOUND, RemoteError, SERVER_ERROR } from '../../../src/rpc/rpc-error.js';
import { getFeatures } from '../../../src/rpc/jsonrpc/client.js';
import { withoutLeak } from '../../support/open-fds.js';
import { clientAndSocket, closeAll, numberedFiles, numbersOf, readRequest } from '../../support/servers/replay.js';
import { testMethods } from './test-methods.js';

const peerFile = fileURLToPath(new URL('./serving-peer.js', import.meta.url));

/** Runs `body` with a client of a server in a process of its own. */
async function withServer(body: (client: JsonRpcConnection, child: ChildProcess) => Promise<void>): Promise<void> {
  await withoutLeak(async () => {
    const [one, other] = socketpair();
    const child = spawn(process.execPath, [peerFile], { stdio: [other.number, 'inherit', 'inherit'] });
    const exit = once(child, 'exit');
    other.close();
    const client = new JsonRpcConnection(fromFd(one));
    await body(client, child);
    client.close();
    const [code, signal] = (await exit) as [number | null, string | null];
    assert.ok(code === 0 || signal === 'SIGKILL', `server ended with ${code}`);
  });
}

async function remoteCode(promise: Promise<unknown>): Promise<number> {
  try {
    closeAll(((await promise) as { fds: [] }).fds);
  } catch (error) {
    if (error instanceof RemoteError) return error.rpcCode;
    throw error;
  }
  return 0;
}

test('requests, descriptors in both directions, and errors, with a server in another process', async () => {
  await withServer(async (client) => {
    assert.deepEqual(await getFeatures(client), new Set(['one', 'two']));
    const files = numberedFiles(300);
    const back = await client.call(testMethods.Return, {}, { fds: files });
    assert.deepEqual(
      numbersOf(back.fds),
      files.map((_, i) => i),
    );
    closeAll(back.fds);

    const before = (await client.call(testMethods.Count, {})).result;
    assert.equal(before.pid, process.pid);
    const counted = (await client.call(testMethods.Count, {}, { fds: files })).result;
    assert.deepEqual(counted, { ...before, received: 300 });
    assert.deepEqual(
      (await client.call(testMethods.Count, {})).result,
      before,
      'the server closed what nobody claimed',
    );
    closeAll(files);

    assert.equal(await remoteCode(client.request('NoSuchMethod', {})), METHOD_NOT_FOUND);
    assert.equal(await remoteCode(client.request('Descriptors', { count: 'many' })), INVALID_PARAMS);
    assert.equal(await remoteCode(client.request('Descriptors', ['positional'])), INVALID_PARAMS);
    assert.equal(await remoteCode(client.call(testMethods.Fail, {})), SERVER_ERROR);
    await assert.rejects(client.call(testMethods.Fail, { code: -7 }), {
      rpcCode: -7,
      data: { why: 'test' },
      message: /chosen failure/,
    });
    await client.notify('Note', {});
    await client.notify('NoSuchNote', {});
    assert.equal((await client.call(testMethods.Count, {})).result.notes, before.notes + 1);
  });
});

test('requests sent together get their own answers', async () => {
  await withServer(async (client) => {
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const { result, fds } = await client.call(testMethods.Descriptors, { count: i * 13, delay: 0 });
        assert.equal(result.count, i * 13);
        assert.equal(fds.length, i * 13);
        closeAll(fds);
      }),
    );
  });
});

test('a late answer to a request given up is discarded with its descriptors', async () => {
  await withServer(async (client) => {
    await assert.rejects(client.call(testMethods.Descriptors, { count: 500, delay: 60 }, { timeout: 20 }), {
      code: 'RPC_TIMEOUT',
    });
    const abort = new AbortController();
    const aborted = client.call(testMethods.Descriptors, { count: 10, delay: 20 }, { signal: abort.signal });
    abort.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
    const { fds } = await client.call(testMethods.Descriptors, { count: 3, delay: 0 });
    assert.equal(fds.length, 3);
    closeAll(fds);
  });
});

test('a server that dies fails every waiting request, and later ones', async () => {
  await withServer(async (client) => {
    const calls = [
      client.call(testMethods.Die, {}),
      client.call(testMethods.Count, {}),
      client.call(testMethods.Count, {}),
    ];
    for (const call of await Promise.allSettled(calls))
      assert.equal(call.status === 'rejected' && (call.reason as { code: string }).code, 'PEER_GONE');
    await assert.rejects(client.call(testMethods.Count, {}), { code: 'PEER_GONE' });
  });
});

const hostile: [name: string, answer: string, code: string | number][] = [
  [
    'an error without id belongs to the only request',
    '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}',
    -32600,
  ],
  ['an answer to a request never sent', '{"jsonrpc":"2.0","id":9,"result":{}}', 'INVALID_MESSAGE'],
  ['an answer with a string id', '{"jsonrpc":"2.0","id":"1","result":{}}', 'INVALID_MESSAGE'],
  ['an answer with a fractional id', '{"jsonrpc":"2.0","id":1.5,"result":{}}', 'INVALID_MESSAGE'],
  ['no JSON-RPC at all', '{"hello":"world"}', 'INVALID_MESSAGE'],
  ['an error that is a string', '{"jsonrpc":"2.0","id":1,"error":"bad"}', 'INVALID_MESSAGE'],
  ['a result of another shape', '{"jsonrpc":"2.0","id":1,"result":{"count":"1"}}', 'INVALID_RESULT'],
  ['neither result nor error', '{"jsonrpc":"2.0","id":1}', 'INVALID_RESULT'],
  [
    'the polluted prototype of nothing',
    '{"jsonrpc":"2.0","id":1,"__proto__":{"result":{"count":1}}}',
    'INVALID_RESULT',
  ],
];

for (const [name, answer, code] of hostile)
  test(`client: ${name}`, async () => {
    await withoutLeak(async () => {
      const [client, server] = clientAndSocket();
      const call = client.call(testMethods.Descriptors, { count: 1, delay: 0 });
      await readRequest(server);
      const files = numberedFiles(2);
      await server.send(Buffer.from(answer.replace(/}$/, ',"fds":2}')), files);
      closeAll(files);
      await assert.rejects(call, typeof code === 'number' ? { rpcCode: code } : { code });
      client.close();
      server.close();
    });
  });

test('an error without id after a notification is not taken for the answer to a request', async () => {
  const [client, server] = clientAndSocket();
  await client.notify('Note', {});
  const call = client.call(testMethods.Descriptors, { count: 1, delay: 0 });
  await server.receive();
  await server.send(
    Buffer.from(
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid ' +
        'Request"}}{"jsonrpc":"2.0","id":1,"result":{"count":1}}',
    ),
  );
  assert.equal((await call).result.count, 1);
  client.close();
  server.close();
});

test('a request aborted in the middle of its bytes fails the others too, and the peer sees the end', async () => {
  await withoutLeak(async () => {
    const [client, server] = clientAndSocket();
    const waiting = client.call(testMethods.Count, {});
    const abort = new AbortController();
    const large = client.request('Large', { text: 'x'.repeat(2_000_000) }, { signal: abort.signal });
    await new Promise((resolve) => setTimeout(resolve, 20));
    abort.abort();
    await assert.rejects(large, { name: 'AbortError' });
    await assert.rejects(waiting, { code: 'SEND_INTERRUPTED' });
    let received = 0;
    for await (const { bytes } of server) received += bytes.length;
    assert.ok(received > 0 && received < 2_000_000);
    server.close();
  });
});

test('a server answers what is JSON but no message, and ends at what is no JSON', async () => {
  await withoutLeak(async () => {
    const [server, client] = clientAndSocket();
    const serving = server.serve(new Map());
    await client.send(Buffer.from('{"id":5}'));
    assert.match((await client.receive())!.bytes.toString(), /"code":-32600/);
    await client.send(Buffer.from('{"jsonrpc":"2.0","id":"text","method":"X"}'));
    assert.deepEqual(JSON.parse((await client.receive())!.bytes.toString()), {
      jsonrpc: '2.0',
      id: 'text',
      error: { code: METHOD_NOT_FOUND, message: 'method "X" not found' },
    });
    await client.send(Buffer.from('nonsense'));
    await assert.rejects(serving, { code: 'FRAMING_ERROR' });
    assert.equal(await client.receive(), undefined);
    client.close();
  });
});

test('serving ends with the signal, and the peer sees the end', async () => {
  const [server, client] = clientAndSocket();
  const serving = server.serve(new Map(), AbortSignal.timeout(20));
  await assert.rejects(serving, { name: 'TimeoutError' });
  assert.equal(await client.receive(), undefined);
  client.close();
});

test('a client that has its answers does not keep the process alive', async () => {
  const url = (path: string): string => new URL(path, import.meta.url).href;
  const code = `import { socketpair, fromFd } from '${url('../../../src/fd/fd-passing.js')}';
    import { JsonRpcConnection } from '${url('../../../src/rpc/jsonrpc/connection.js')}';
    const [one, other] = socketpair();
    const client = new JsonRpcConnection(fromFd(one)), raw = fromFd(other);
    const call = client.request('X', {}); await raw.receive();
    await raw.send(Buffer.from('{"jsonrpc":"2.0","id":1,"result":{"done":true}}'));
    console.log(JSON.stringify((await call).result));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const timer = setTimeout(() => child.kill(), 5000);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  assert.equal(status, 0);
  assert.equal(output.trim(), '{"done":true}');
});
