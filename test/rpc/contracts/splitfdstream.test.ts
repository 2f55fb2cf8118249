import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { z } from 'zod';
import { Fd } from '../../../src/fd/fd-passing.js';
import { implement } from '../../../src/rpc/jsonrpc/method.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import { getSplitFDStream } from '../../../src/rpc/jsonrpc/client.js';
import { methods, type GetSplitFDStreamResult } from '../../../src/rpc/contracts/splitfdstream.js';
import { fromFd, socketpair } from '../../../src/fd/fd-passing.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll, fixture, numberedFiles, numbersOf } from '../../support/servers/replay.js';

interface OpenRpc {
  methods: {
    name: string;
    params: { name: string; required: boolean; schema: object }[];
    result: { schema: object };
    errors: { $ref: string }[];
  }[];
  components: { errors: Record<string, { code: number }> };
}

const document = JSON.parse(
  readFileSync(new URL('../../../../proto/splitfdstream.openrpc.json', import.meta.url), 'utf8'),
) as OpenRpc;

test('the OpenRPC document and the schemas in use describe the same methods', () => {
  const fromSchemas = Object.values(methods).map(({ name, params, result }) => {
    const { properties = {}, required = [] } = z.toJSONSchema(params, { io: 'input' });
    const { $schema, ...schema } = z.toJSONSchema(result, { io: 'input' });
    assert.ok($schema);
    return {
      name,
      params: Object.entries(properties).map(([key, value]) => ({
        name: key,
        required: required.includes(key),
        schema: value,
      })),
      result: schema,
    };
  });
  assert.deepEqual(
    document.methods.map(({ name, params, result }) => ({ name, params, result: result.schema })),
    fromSchemas,
  );
  for (const { errors } of document.methods)
    for (const { $ref } of errors)
      assert.ok(document.components.errors[$ref.replace('#/components/errors/', '')], $ref);
});

test('recorded requests and answers satisfy the schemas', () => {
  for (const image of ['zeta_f300', 'alpha_v2'])
    for (const [name, file] of [
      ['GetImage', 'GetImage'],
      ['GetSplitFDStream', 'layer-0'],
    ] as const) {
      const read = (end: string): { params: unknown; result: unknown } =>
        JSON.parse(fixture(`${image}/${file}.${end}.json`).toString());
      const { params } = read('request');
      const { result } = read('response');
      assert.deepEqual(methods[name].params.parse(params), params);
      assert.deepEqual(methods[name].result.parse(result), result);
    }
});

/** What a client makes of this result with so many descriptors. */
async function ask<T>(
  result: GetSplitFDStreamResult,
  count: number,
  look: (reply: Awaited<ReturnType<typeof getSplitFDStream>>) => T,
): Promise<T> {
  return withoutLeak(async () => {
    const [one, other] = socketpair();
    using client = new JsonRpcConnection(fromFd(one));
    using server = new JsonRpcConnection(fromFd(other));
    const serving = server.serve(
      new Map([implement(methods.GetSplitFDStream, async () => ({ result, fds: numberedFiles(count) }))]),
    );
    try {
      return look(await getSplitFDStream(client, { layerId: 'x' }));
    } finally {
      client.close();
      await serving;
    }
  });
}

test('descriptors are sorted by what they are for', async () => {
  await ask({ streamSize: 8, dirCount: 2, format: 'splitdirfdstream-v0', exact: true }, 4, (reply) => {
    assert.ok(reply.format === 'splitdirfdstream-v0');
    const all: Fd[] = [reply.stream, ...reply.dirs, reply.lease];
    assert.deepEqual([numbersOf([reply.stream]), numbersOf(reply.dirs), numbersOf([reply.lease])], [[0], [1, 2], [3]]);
    closeAll(all);
  });
  await ask({ streamSize: 8, exact: true }, 2, (reply) => {
    assert.ok(reply.format === 'splitfdstream' && reply.exact);
    closeAll([reply.stream, ...reply.files]);
  });
});

test('answers whose descriptors do not add up are refused and closed', async () => {
  const wrong: [GetSplitFDStreamResult, number][] = [
    [{ streamSize: 8 }, 0],
    [{}, 1],
    [{ dirCount: 2, format: 'splitdirfdstream-v0' }, 3],
    [{ dirCount: 1, format: 'splitdirfdstream-v0' }, 4],
    [{ format: 'splitdirfdstream-v0' }, 2],
    [{ dirCount: 0, format: 'splitdirfdstream-v0' }, 1],
  ];
  for (const [result, count] of wrong)
    await assert.rejects(
      ask(result, count, () => {}),
      { code: 'INVALID_RESULT' },
    );
});
