import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { HttpClient } from '../../src/http/client.js';
import { HttpError } from '../../src/http/http-error.js';
import { ResumableBody, type ResumableOptions } from '../../src/http/resumable.js';
import {
  endless,
  scriptedHttp,
  sendRanged,
  type RangedOptions,
  type ScriptedServer,
} from '../support/servers/scripted-http.js';

const BODY = randomBytes(3 << 20);

function bodyFrom(t: TestContext, server: ScriptedServer, options: ResumableOptions = {}): ResumableBody {
  const client = new HttpClient({ agent: 'test', env: {}, retryMs: 1, idleMs: 400 });
  t.after(() => client[Symbol.asyncDispose]());
  const fetch = async (headers: Readonly<Record<string, string>>, signal: AbortSignal) =>
    client.request({ url: new URL(server.origin), headers, signal });
  return new ResumableBody(fetch, { size: BODY.length, retryMs: 1, ...options });
}

async function readAll(body: ResumableBody): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  await body[Symbol.asyncDispose]();
  return Buffer.concat(pieces);
}

/** A server of BODY; `sent` counts what it gave away. */
async function serving(
  t: TestContext,
  options: RangedOptions,
  before?: (request: IncomingMessage, response: ServerResponse, number: number) => boolean,
): Promise<ScriptedServer & { sent: number }> {
  const server = await scriptedHttp(t, async (request, response, number) => {
    if (before?.(request, response, number)) return;
    counted.sent += await sendRanged(request, response, BODY, options);
  });
  const counted = Object.assign(server, { sent: 0 });
  return counted;
}

const CUTS: [name: string, cutEvery: number][] = [
  ['every megabyte', 1 << 20],
  ['at an odd place', 777_777],
  ['every 300 kB', 300_000],
];
for (const [name, cutEvery] of CUTS) {
  test(`a body whose connection is cut ${name} is read once`, async (t) => {
    const server = await serving(t, { cutEvery, etag: '"one"' });
    const resumed: number[] = [];
    assert.deepEqual(await readAll(bodyFrom(t, server, { onResume: (at) => resumed.push(at) })), BODY);
    const repeated = server.sent - BODY.length;
    assert.ok(repeated <= resumed.length << 20, `${repeated} bytes again after ${resumed.length} cuts`);
    assert.ok(server.requests.length >= Math.floor(BODY.length / cutEvery));
    for (const [index, { headers }] of server.requests.slice(1).entries()) {
      assert.equal(headers.range, `bytes=${resumed[index]}-${BODY.length - 1}`);
      assert.equal(headers['if-range'], '"one"');
    }
  });
}

test('a weak validator is not used for parts', async (t) => {
  const server = await serving(t, { cutEvery: 1 << 20, etag: 'W/"one"' });
  assert.deepEqual(await readAll(bodyFrom(t, server)), BODY);
  assert.ok(server.requests.every(({ headers }) => headers['if-range'] === undefined));
});

test('a body can be read from where another run stopped', async (t) => {
  const server = await serving(t, {});
  assert.deepEqual(await readAll(bodyFrom(t, server, { from: 1_000_000 })), BODY.subarray(1_000_000));
  assert.equal(server.sent, BODY.length - 1_000_000);
});

test('nothing is asked for when all is there', async (t) => {
  const server = await serving(t, {});
  assert.equal((await readAll(bodyFrom(t, server, { from: BODY.length }))).length, 0);
  assert.equal(server.requests.length, 0);
});

test('a server of whose parts only closed ones can be had', async (t) => {
  const server = await serving(t, { cutEvery: 1 << 20, ranges: 'closed' });
  assert.deepEqual(await readAll(bodyFrom(t, server)), BODY);
  assert.equal(
    server.requests.length,
    server.requests.filter(({ headers }) => headers.range?.match(/^bytes=\d+-\d+$/) || headers.range === undefined)
      .length,
  );
});

for (const ranges of ['ignored', 'refused', 'wrong'] as const) {
  test(`a server whose parts are ${ranges} sends all again`, async (t) => {
    let cut = true;
    const server = await scriptedHttp(t, async (request, response) => {
      await sendRanged(request, response, BODY, { ranges, ...(cut && { cutEvery: 1 << 20 }) });
      cut = false;
    });
    assert.deepEqual(await readAll(bodyFrom(t, server)), BODY);
  });
}

test('a small body comes at one go, and a longer one is read as it comes, with the same request', async (t) => {
  for (const limit of [BODY.length, BODY.length - 1]) {
    const server = await serving(t, {});
    const body = bodyFrom(t, server, { size: undefined });
    const whole = await body.whole(limit);
    assert.equal(whole === undefined, limit < BODY.length);
    assert.deepEqual(whole ?? (await readAll(body)), BODY);
    assert.equal(server.requests.length, 1);
  }
});

test('of a body that was to come at one go and is cut, the rest is asked for', async (t) => {
  const server = await serving(t, { cutEvery: 2 << 20, etag: '"one"' });
  const resumed: number[] = [];
  const body = bodyFrom(t, server, { onResume: (at) => resumed.push(at) });
  assert.equal(await body.whole(BODY.length), undefined);
  assert.deepEqual(await readAll(body), BODY);
  assert.equal(server.requests.length, 2);
  assert.ok(resumed[0]! > 0, 'nothing was kept of what came');
  assert.equal(server.requests[1]?.headers.range, `bytes=${resumed[0]}-${BODY.length - 1}`);
});

test('a signal ends the wait for all of a body', async (t) => {
  const stop = new AbortController();
  const reason = new Error('not any more');
  const server = await scriptedHttp(t, (_request, response) => {
    response.writeHead(200, { 'content-length': BODY.length });
    response.write(BODY.subarray(0, 1000), () => void setTimeout(() => stop.abort(reason), 100));
  });
  const body = bodyFrom(t, server, { size: undefined, signal: stop.signal });
  assert.equal(await body.whole(BODY.length), undefined);
  await assert.rejects(readAll(body), reason);
});

test('a silent server is replaced', async (t) => {
  const server = await serving(t, {}, (_, response, number) => {
    if (number > 1) return false;
    response.writeHead(200, { 'content-length': BODY.length }).write(BODY.subarray(0, 500_000));
    return true;
  });
  const errors: string[] = [];
  assert.deepEqual(await readAll(bodyFrom(t, server, { onResume: (_, { code }) => errors.push(code) })), BODY);
  assert.deepEqual(errors, ['HTTP_IDLE']);
});

test('a slow reader does not make the server look silent', async (t) => {
  const server = await serving(t, {});
  let first = true;
  const pieces: Buffer[] = [];
  for await (const piece of bodyFrom(t, server)) {
    pieces.push(piece);
    if (first) await new Promise((resolve) => setTimeout(resolve, 1500));
    first = false;
  }
  assert.deepEqual(Buffer.concat(pieces), BODY);
  assert.equal(server.requests.length, 1);
});

test('a reader that stops stops the server', async (t) => {
  let counted = { sent: 0 };
  const server = await scriptedHttp(t, (_, response) => void (counted = endless(response, Buffer.alloc(65536))));
  for await (const piece of bodyFrom(t, server, { size: undefined })) {
    assert.ok(piece.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    break;
  }
  const before = counted.sent;
  // What fits in the buffers of two sockets.
  assert.ok(before < 32 << 20, `${before} bytes were sent to somebody who did not read`);
});

test('more bytes than there can be are not waited for', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void endless(response, Buffer.alloc(65536)));
  await assert.rejects(readAll(bodyFrom(t, server, { size: 100_000 })), { code: 'HTTP_SIZE' });
});

test('a length that is another one is an error at once', async (t) => {
  const server = await serving(t, {});
  await assert.rejects(readAll(bodyFrom(t, server, { size: BODY.length + 1 })), {
    code: 'HTTP_SIZE',
    message: /3145728 bytes, there should be 3145729/,
  });
  assert.equal(server.requests.length, 1);
});

test('an answer that ends early is continued, but not for ever', async (t) => {
  const server = await scriptedHttp(t, (request, response) => {
    const [, from = '0'] = /bytes=(\d+)/.exec(request.headers.range ?? '') ?? [];
    const part = BODY.subarray(Number(from), Math.min(Number(from) + 1000, 30_000));
    response
      .writeHead(from === '0' ? 200 : 206, {
        'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${BODY.length}`,
      })
      .end(part);
  });
  await assert.rejects(readAll(bodyFrom(t, server)), { code: 'HTTP_CUT' });
  assert.equal(server.requests.length, 11);
});

test('a proxy that compresses does not change the bytes, cut or not', async (t) => {
  const encoded = gzipSync(BODY);
  const server = await scriptedHttp(t, (_, response, number) => {
    response.writeHead(200, { 'content-encoding': 'gzip' });
    if (number === 1) response.write(encoded.subarray(0, 1 << 20), () => response.socket?.end());
    else response.end(encoded);
  });
  assert.deepEqual(await readAll(bodyFrom(t, server)), BODY);
});

test('a file that is itself gzip is not unpacked, though its server says so', async (t) => {
  const blob = gzipSync(BODY);
  const server = await scriptedHttp(
    t,
    (_, response) =>
      void response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': blob.length }).end(blob),
  );
  assert.deepEqual(await readAll(bodyFrom(t, server, { size: blob.length })), blob);
});

test('a part where none was asked for is an error', async (t) => {
  const server = await scriptedHttp(
    t,
    (_, response) => void response.writeHead(206, { 'content-range': `bytes 5-9/10` }).end('12345'),
  );
  await assert.rejects(
    readAll(bodyFrom(t, server)),
    (error) => error instanceof HttpError && error.code === 'HTTP_PROTOCOL',
  );
});

test('disposing ends a read that waits', async (t) => {
  const server = await scriptedHttp(
    t,
    (_, response) => void response.writeHead(200, { 'content-length': BODY.length }).write('x'),
  );
  const body = bodyFrom(t, server);
  const pieces = body[Symbol.asyncIterator]();
  await pieces.next();
  const waiting = assert.rejects(pieces.next());
  await body[Symbol.asyncDispose]();
  await waiting;
});
