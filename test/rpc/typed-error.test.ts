import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../../src/errors.js';
import { fromFd, socketpair } from '../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { implement } from '../../src/rpc/jsonrpc/method.js';
import { RemoteError } from '../../src/rpc/rpc-error.js';
import { fromTypedAnswer, typedHandlers } from '../../src/rpc/typed-error.js';

const method = { name: 'Fail', params: z.object({}), result: z.object({}) };
const place = { layer: 'a', entry: 'etc/shadow', offset: 512 };

const cases: [what: string, error: Error, expected: string][] = [
  ['something that cannot be done', new BridgeError('IMAGE_IN_USE', 'it is in use'), 'BridgeError'],
  ['input that breaks its format, and where', new FormatError('TAR_CHECKSUM', 'wrong', { place }), 'FormatError'],
  ['a digest', new DigestMismatchError('layer', 'sha256:a', 'sha256:b', { place }), 'DigestMismatchError'],
  ['what is not there', new NotFoundError('nothing', { place: { layer: 'b' } }), 'NotFoundError'],
  [
    'an error of the system',
    Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', syscall: 'write' }),
    'BridgeError',
  ],
];

for (const [what, error, expected] of cases)
  test(`${what} is the same at the other end`, async () => {
    const found = await answered(error);
    assert.equal(found.constructor.name, expected);
    assert.equal(found.message, error.message);
    const facts = ({ code, place: where, expected: wanted, actual }: Record<string, unknown>): unknown => [
      code,
      where ?? {},
      wanted,
      actual,
    ];
    assert.deepEqual(facts({ ...found }), facts({ ...error }));
  });

test('a defect there is no error of this package here', async () => {
  const found = await answered(new TypeError('undefined is not a function'));
  assert.ok(found instanceof RemoteError);
  assert.match(found.message, /undefined is not a function/);
});

async function answered(error: Error): Promise<Error> {
  const [one, other] = socketpair();
  using client = new JsonRpcConnection(fromFd(one));
  using server = new JsonRpcConnection(fromFd(other));
  const served = server.serve(
    typedHandlers([
      implement(method, async () => {
        throw error;
      }),
    ]),
  );
  try {
    await client.call(method, {});
    assert.fail('it has succeeded');
  } catch (answer) {
    return fromTypedAnswer(answer) as Error;
  } finally {
    client.close();
    await served;
  }
}
