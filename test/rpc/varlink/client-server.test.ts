import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BridgeError } from '../../../src/errors.js';
import { fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { implement, serveVarlink, type VarlinkReplies, type VarlinkService } from '../../../src/rpc/varlink/server.js';
import { serviceMethods } from '../../../src/rpc/varlink/service-interface.js';
import { serviceHandlers } from '../../../src/rpc/varlink/service.js';
import { VarlinkRemoteError } from '../../../src/rpc/varlink/varlink-error.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll, numberedFiles, numbersOf } from '../../support/servers/replay.js';
import { methods, testInterface } from './test-interface.js';

/** What handlers saw that no reply tells. */
interface Witness {
  echoed: string[];
  ended: number;
}

function service(witness: Witness): VarlinkService {
  const handlers = new Map([
    ...serviceHandlers({ vendor: 'v', product: 'p', version: '1', url: 'u' }, [testInterface]),
    implement(methods.Echo, async ({ text, delay }, { fds }) => {
      await sleep(delay ?? 0);
      witness.echoed.push(text);
      return { parameters: { text, fds: fds.length } };
    }),
    implement(methods.Return, async (_, { fds }) => ({
      parameters: { count: fds.length },
      fds: fds.map((fd) => fd.move()),
    })),
    implement(methods.Count, async function* ({ to }): VarlinkReplies<{ n: number }> {
      try {
        for (let n = 1; n < to; n++) yield { parameters: { n }, fds: numberedFiles(n % 3) };
        return { parameters: { n: to } };
      } finally {
        witness.ended++;
      }
    }),
    implement(methods.Wait, async (_, { signal }) => {
      await sleep(60_000, undefined, { signal }).catch(() => {});
      witness.ended++;
      return { parameters: {} };
    }),
    implement(methods.Fail, async ({ how }) => {
      throw how === 'declared' ? testInterface.error('Broken', { why: 'test' }) : new Error('unforeseen');
    }),
  ]);
  return {
    handlers,
    interfaces: ['org.varlink.service', testInterface.name],
    internalError: (error) => testInterface.error('Broken', { why: String(error) }),
  };
}

/** Runs `use` with a client of the service; nothing stays open. */
async function served<C extends Connection | VarlinkConnection>(
  make: (connection: Connection) => C,
  use: (client: C, witness: Witness) => Promise<void>,
): Promise<unknown> {
  return withoutLeak(async () => {
    const [one, other] = socketpair();
    const witness = { echoed: [], ended: 0 };
    const ended = serveVarlink(fromFd(other), service(witness), { signal: new AbortController().signal }).catch(
      (error: unknown) => error,
    );
    {
      using client = make(fromFd(one));
      await use(client, witness);
    }
    return ended;
  });
}

const asClient = (connection: Connection): VarlinkConnection => new VarlinkConnection(connection);
const bare = (connection: Connection): Connection => connection;

const remote = (error: string, parameters: object) => (thrown: unknown) => {
  assert.ok(thrown instanceof VarlinkRemoteError, String(thrown));
  assert.deepEqual([thrown.error, thrown.parameters], [error, parameters]);
  return true;
};

const code = (expected: string) => (error: unknown) => error instanceof BridgeError && error.code === expected;

test('calls, one after the other', async () => {
  await served(asClient, async (client) => {
    for (const text of ['a', 'ü\0', 'x'.repeat(300_000)]) {
      assert.deepEqual((await client.call(methods.Echo, { text })).parameters, { text, fds: 0 });
    }
  });
});

test('pipelined calls, each with its own descriptors', async () => {
  await served(asClient, async (client) => {
    const files = numberedFiles(9);
    const calls = [
      client.call(methods.Echo, { text: 'slow', delay: 50 }),
      client.call(methods.Return, {}, { fds: files.slice(0, 2) }),
      client.call(methods.Return, {}),
      client.call(methods.Return, {}, { fds: files.slice(2, 9) }),
    ] as const;
    const replies = await Promise.all(calls);
    assert.deepEqual(
      replies.slice(1).map(({ fds }) => numbersOf(fds)),
      [[0, 1], [], [2, 3, 4, 5, 6, 7, 8]],
    );
    for (const { fds } of replies) closeAll(fds);
    closeAll(files);
  });
});

test('253 descriptors there and back', async () => {
  await served(asClient, async (client) => {
    const files = numberedFiles(253);
    const { parameters, fds } = await client.call(methods.Return, {}, { fds: files });
    assert.equal(parameters.count, 253);
    assert.deepEqual(
      numbersOf(fds),
      files.map((_, index) => index),
    );
    closeAll(fds);
    closeAll(files);
  });
});

test('several replies, with descriptors each', async () => {
  await served(asClient, async (client) => {
    const seen: number[] = [];
    for await (const { parameters, fds } of client.callMore(methods.Count, { to: 100 })) {
      seen.push(parameters.n);
      assert.equal(fds.length, parameters.n === 100 ? 0 : parameters.n % 3);
      closeAll(fds);
    }
    assert.equal(seen.length, 100);
    assert.equal(
      (await client.call(methods.Count, { to: 5 })).parameters.n,
      5,
      'without more, only the last reply comes',
    );
  });
});

test('leaving early closes the connection, and the server lets go', async () => {
  await served(asClient, async (client, witness) => {
    for await (const { fds } of client.callMore(methods.Count, { to: 1e9 })) {
      closeAll(fds);
      break;
    }
    await assert.rejects(client.call(methods.Return, {}), code('CONNECTION_CLOSED'));
    for (let tries = 0; witness.ended === 0; tries++) {
      assert.ok(tries < 1000, 'the server goes on');
      await sleep(5);
    }
  });
});

test('a caller that goes away while its call is under way', async () => {
  await served(asClient, async (client, witness) => {
    const gone = new AbortController();
    const call = client.call(methods.Wait, {}, { signal: gone.signal });
    setTimeout(() => gone.abort(new Error('enough')), 20);
    await assert.rejects(call, /enough/);
    for (let tries = 0; witness.ended === 0; tries++) {
      assert.ok(tries < 1000, 'the server still waits');
      await sleep(5);
    }
  });
});

test('a caller that ended its data still gets the reply', async () => {
  await served(bare, async (connection) => {
    await connection.send(Buffer.from('{"method":"org.example.test.Echo","parameters":{"text":"x","delay":30}}\0'));
    await connection.shutdown();
    assert.equal((await connection.receive())?.bytes.toString(), '{"parameters":{"text":"x","fds":0}}\0');
  });
});

test('errors, after which the connection goes on', async () => {
  await served(asClient, async (client) => {
    const unknown = testInterface.method<{ text: string }, object>('Echo');
    const named = (name: string) => ({ ...unknown, name });
    await assert.rejects(
      client.call(methods.Fail, { how: 'declared' }),
      remote('org.example.test.Broken', { why: 'test' }),
    );
    await assert.rejects(
      client.call(methods.Fail, { how: 'undeclared' }),
      remote('org.example.test.Broken', { why: 'Error: unforeseen' }),
    );
    await assert.rejects(
      client.call(methods.Fail, { how: 'otherwise' }),
      remote('org.varlink.service.InvalidParameter', { parameter: 'how' }),
    );
    await assert.rejects(
      client.call(named('org.example.test.Nothing'), { text: '' }),
      remote('org.varlink.service.MethodNotFound', { method: 'org.example.test.Nothing' }),
    );
    await assert.rejects(
      client.call(named('org.example.Nothing.Echo'), { text: '' }),
      remote('org.varlink.service.InterfaceNotFound', { interface: 'org.example.Nothing' }),
    );
    await assert.rejects(
      client.call(named('Echo'), { text: '' }),
      remote('org.varlink.service.InterfaceNotFound', { interface: '' }),
    );
    assert.equal((await client.call(methods.Echo, { text: 'still there' })).parameters.text, 'still there');
  });
});

test('oneway calls get no reply, not even an error', async () => {
  await served(asClient, async (client, witness) => {
    await client.callOneway(methods.Echo, { text: 'one' });
    await client.callOneway(methods.Fail, { how: 'declared' });
    await client.callOneway(methods.Count, { to: 3 });
    assert.equal((await client.call(methods.Echo, { text: 'two' })).parameters.text, 'two');
    assert.deepEqual(witness.echoed, ['one', 'two']);
  });
});

test('org.varlink.service', async () => {
  await served(asClient, async (client) => {
    const { parameters } = await client.call(serviceMethods.GetInfo, {});
    assert.deepEqual(parameters, {
      vendor: 'v',
      product: 'p',
      version: '1',
      url: 'u',
      interfaces: ['org.example.test', 'org.varlink.service'],
    });
    const described = await client.call(serviceMethods.GetInterfaceDescription, { interface: 'org.example.test' });
    assert.equal(described.parameters.description, testInterface.description);
    await assert.rejects(
      client.call(serviceMethods.GetInterfaceDescription, { interface: 'org.x.y' }),
      remote('org.varlink.service.InterfaceNotFound', { interface: 'org.x.y' }),
    );
  });
});

const badCalls: [name: string, bytes: string, reply: string | undefined, code: string | undefined][] = [
  [
    'upgrade',
    '{"method":"org.example.test.Return","upgrade":true}\0',
    '{"error":"org.varlink.service.MethodNotImplemented","parameters":{"method":"org.example.test.Return"}}\0',
    undefined,
  ],
  [
    'null where members are left out',
    '{"method":"org.example.test.Return","parameters":null,"more":null,"oneway":null}\0',
    '{"parameters":{"count":0}}\0',
    undefined,
  ],
  ['no method', '{"parameters":{}}\0', undefined, 'INVALID_MESSAGE'],
  ['an empty method', '{"method":""}\0', undefined, 'INVALID_MESSAGE'],
  [
    'parameters that are no object',
    '{"method":"org.example.test.Return","parameters":[]}\0',
    undefined,
    'INVALID_MESSAGE',
  ],
  ['flags that are no booleans', '{"method":"org.example.test.Return","more":1}\0', undefined, 'INVALID_MESSAGE'],
  ['a reply', '{"parameters":{"count":1}}\0', undefined, 'INVALID_MESSAGE'],
  ['garbage', 'GET / HTTP/1.1\r\n\r\n\0', undefined, 'FRAMING_ERROR'],
  [
    'a prototype',
    '{"method":"org.example.test.Echo","parameters":{"__proto__":{"text":"x"}}}\0',
    '{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"text"}}\0',
    undefined,
  ],
];

for (const [name, bytes, reply, expected] of badCalls) {
  test(`a call with ${name}`, async () => {
    const ended = await served(bare, async (connection) => {
      const files = numberedFiles(2);
      await connection.send(Buffer.from(bytes), reply === '{"parameters":{"count":0}}\0' ? [] : files);
      closeAll(files);
      const segment = await connection.receive();
      assert.equal(segment?.bytes.toString(), reply);
    });
    assert.equal(ended instanceof BridgeError ? ended.code : ended, expected);
  });
}
