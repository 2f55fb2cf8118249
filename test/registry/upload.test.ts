import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { pushBlob, type BlobToPush } from '../../src/registry/upload.js';
import { scriptedHttp } from '../support/servers/scripted-http.js';
import {
  destinationOf,
  no,
  scriptedRegistry,
  sha256,
  type ScriptedRegistryOptions,
} from '../support/servers/scripted-registry.js';

const LARGE = randomBytes(6 << 20);
const SMALL = randomBytes(1000);
const PIECE = 64 << 10;

function blobOf(bytes: Buffer): BlobToPush & { digest: string } {
  return {
    digest: sha256(bytes),
    size: bytes.length,
    async *open(from) {
      for (let at = from; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
    },
  };
}

/** Cuts the connection after so many bytes of a PATCH, as often as that. */
function cutting(after: number, times: number): NonNullable<ScriptedRegistryOptions['fault']> {
  let left = times;
  return (request) => {
    if (request.method !== 'PATCH' || left === 0) return false;
    left--;
    let seen = 0;
    request.on('data', (piece: Buffer) => {
      seen += piece.length;
      if (seen >= after) request.socket.destroy();
    });
    return false;
  };
}

test('a small blob goes with the request that ends the upload', async (t) => {
  const server = await scriptedRegistry(t);
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(SMALL)), 'sent');
  assert.deepEqual(server.blobs.get(sha256(SMALL)), SMALL);
  assert.deepEqual(
    server.requests.map(({ method }) => method),
    ['GET', 'HEAD', 'POST', 'PUT'],
  );
});

for (const [bytes, length] of [
  [LARGE.subarray(0, 500_000), 200_000],
  [LARGE, 1000],
  [LARGE, 200_000],
] as const)
  test(`${bytes.length} bytes may come in pieces of ${length} in the same memory`, async (t) => {
    const server = await scriptedRegistry(t);
    const blob = {
      ...blobOf(bytes),
      async *open(from: number) {
        const piece = Buffer.alloc(length);
        for (let at = from; at < bytes.length; at += piece.length)
          yield piece.subarray(0, bytes.copy(piece, 0, at, at + piece.length));
      },
    };
    assert.equal(await pushBlob(destinationOf(t, server), blob), 'sent');
    assert.ok(server.blobs.get(sha256(bytes))?.equals(bytes));
  });

test('a large blob is streamed, with progress', async (t) => {
  const server = await scriptedRegistry(t);
  const progress: number[] = [];
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(LARGE), { onProgress: (bytes) => progress.push(bytes) }),
    'sent',
  );
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.equal(
    server.requests.find(({ method }) => method === 'PATCH')?.headers['content-length'],
    String(LARGE.length),
  );
  assert.equal(progress.at(-1), LARGE.length);
});

test('a blob whose size and digest nobody knows yet', async (t) => {
  const server = await scriptedRegistry(t);
  const { open } = blobOf(LARGE);
  assert.equal(await pushBlob(destinationOf(t, server), { digest: () => sha256(LARGE), open }), 'sent');
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.equal(server.requests.find(({ method }) => method === 'PATCH')?.headers['transfer-encoding'], 'chunked');
});

test('an empty blob', async (t) => {
  const server = await scriptedRegistry(t);
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(Buffer.alloc(0))), 'sent');
  assert.equal(server.blobs.get(sha256(Buffer.alloc(0)))?.length, 0);
});

test('a blob that is there is not sent', async (t) => {
  const server = await scriptedRegistry(t);
  server.addBlob(LARGE);
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(LARGE)), 'present');
  assert.equal(server.received, 0);
});

test('a blob of another repository is taken over, or sent where it cannot be', async (t) => {
  for (const mounts of [true, false]) {
    const server = await scriptedRegistry(t, { mounts });
    const outcome = await pushBlob(destinationOf(t, server), blobOf(LARGE), {
      mountFrom: { host: server.host, path: 'other/repo' },
    });
    assert.equal(outcome, mounts ? 'mounted' : 'sent');
    assert.equal(server.requests.filter(({ method }) => method === 'POST').length, 1);
    if (!mounts) assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  }
});

test('whoever may not read the other repository sends the blob', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => request.url?.includes('mount=') === true && (no(response, 403, 'DENIED'), true),
  });
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(SMALL), { mountFrom: { host: server.host, path: 'other/repo' } }),
    'sent',
  );
});

test('locations may be relative, and their queries stay as they are', async (t) => {
  const server = await scriptedRegistry(t, { relativeLocations: true });
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(LARGE)), 'sent');
  assert.match(server.requests.at(-1)?.url ?? '', /\?_state=a%2Bb%2Fc%3D&digest=sha256%3A[0-9a-f]{64}$/);
});

test('an upload that is cut goes on where the registry says', async (t) => {
  const server = await scriptedRegistry(t, { fault: cutting(1 << 20, 4) });
  const starts: number[] = [];
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1, onStart: (from) => starts.push(from) }),
    'sent',
  );
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.equal(starts.length, 5);
  assert.ok(
    starts.slice(1).every((from, index) => from > (starts[index] as number)),
    String(starts),
  );
  assert.ok(server.received <= LARGE.length + 5 * PIECE, `${server.received} bytes for ${LARGE.length}`);
});

test('an upload that is cut begins anew where the registry does not tell', async (t) => {
  const server = await scriptedRegistry(t, { uploadStatus: false, fault: cutting(1 << 20, 2) });
  const starts: number[] = [];
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1, onStart: (from) => starts.push(from) }),
    'sent',
  );
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.deepEqual(starts, [0, 0, 0]);
});

test('an upload that is cut always is given up', async (t) => {
  const server = await scriptedRegistry(t, { uploadStatus: false, fault: cutting(1000, 100) });
  await assert.rejects(pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1 }), { code: 'HTTP_CUT' });
  assert.equal(server.requests.filter(({ method }) => method === 'PATCH').length, 6);
});

test('a later run continues what an earlier one began', async (t) => {
  const stop = new AbortController();
  const server = await scriptedRegistry(t);
  let location: URL | undefined;
  const onProgress = (bytes: number): void => void (bytes >= 3 << 20 && stop.abort(new Error('killed')));
  await assert.rejects(
    pushBlob(destinationOf(t, server), blobOf(LARGE), {
      onLocation: (url) => (location = url),
      onProgress,
      signal: stop.signal,
    }),
    /killed/,
  );
  let from = 0;
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(LARGE), { resume: location, onStart: (at) => (from = at) }),
    'sent',
  );
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.ok(from > 1 << 20 && server.received <= LARGE.length + (1 << 20), `from ${from}, ${server.received} bytes`);
});

test("a place to continue at that is another server's is not asked", async (t) => {
  const thief = await scriptedHttp(t, (_, response) => void response.end());
  const server = await scriptedRegistry(t);
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(SMALL), {
      resume: new URL(`${thief.origin}/v2/a/b/blobs/uploads/1`),
    }),
    'sent',
  );
  assert.equal(thief.requests.length, 0);
});

test('a place to continue at that is gone does not matter', async (t) => {
  const server = await scriptedRegistry(t);
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(SMALL), {
      resume: new URL(`${server.origin}/v2/a/b/blobs/uploads/gone`),
    }),
    'sent',
  );
});

test('a location on another host gets the bytes and no password', async (t) => {
  const storage = await scriptedHttp(t, async (request, response) => {
    for await (const _ of request);
    response.writeHead(request.method === 'PATCH' ? 202 : 201, { location: '/next' }).end();
  });
  const server = await scriptedRegistry(t, {
    basic: true,
    fault: (request, response) =>
      request.method === 'POST' &&
      request.headers.authorization !== undefined &&
      (response.writeHead(202, { location: `${storage.origin}/put?key=1` }).end(), true),
  });
  assert.equal(
    await pushBlob(
      destinationOf(t, server, { credentials: { kind: 'basic', username: 'user', password: 'secret' } }),
      blobOf(LARGE),
    ),
    'sent',
  );
  assert.deepEqual(
    storage.requests.map(({ method, url, headers }) => [method, url.split('%3A')[0], headers.authorization]),
    [
      ['PATCH', '/put?key=1', undefined],
      ['PUT', '/next?digest=sha256', undefined],
    ],
  );
});

test('a token that ends in the middle of an upload is renewed', async (t) => {
  let good = 'token-1';
  let count = 0;
  const service = await scriptedHttp(
    t,
    (_, response) => void response.end(JSON.stringify({ token: `token-${++count}` })),
  );
  const server = await scriptedRegistry(t, {
    bearer: { challenge: () => `Bearer realm="${service.origin}"`, accepts: (token) => token === good },
    fault: (request) => {
      if (request.method === 'PATCH') good = 'token-2';
      return false;
    },
  });
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1 }), 'sent');
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.equal(count, 2);
});

test('who may not push hears that once', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => request.method === 'POST' && (no(response, 403, 'DENIED', 'read only'), true),
  });
  await assert.rejects(pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1 }), {
    code: 'UNAUTHORIZED',
    serverCodes: ['DENIED'],
    reference: sha256(LARGE),
  });
  assert.equal(server.requests.filter(({ method }) => method === 'POST').length, 1);
});

test('an answer that is lost at the end does not matter', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => {
      if (request.method === 'PUT' && server.blobs.size === 0)
        response.writeHead = () => (request.socket.destroy(), response);
      return false;
    },
  });
  assert.equal(await pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1 }), 'sent');
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
});

test('what was put together wrongly is sent anew as a whole', async (t) => {
  const cut = cutting(1 << 20, 1);
  const server = await scriptedRegistry(t, {
    fault: (request, response, number) => {
      // The registry loses some bytes, and says that it has them.
      for (const [id, bytes] of server.uploads)
        if (request.method === 'GET' && bytes.length > 0)
          server.uploads.set(id, Buffer.concat([Buffer.alloc(100), bytes.subarray(100)]));
      return cut(request, response, number);
    },
  });
  const starts: number[] = [];
  assert.equal(
    await pushBlob(destinationOf(t, server), blobOf(LARGE), { retryMs: 1, onStart: (from) => starts.push(from) }),
    'sent',
  );
  assert.deepEqual(server.blobs.get(sha256(LARGE)), LARGE);
  assert.equal(starts.at(-1), 0);
});

test('a blob that is not what it says is an error, not a loop', async (t) => {
  const server = await scriptedRegistry(t);
  await assert.rejects(
    pushBlob(destinationOf(t, server), { ...blobOf(LARGE), digest: sha256(SMALL) }, { retryMs: 1 }),
    { serverCodes: ['DIGEST_INVALID'] },
  );
  for (const size of [LARGE.length - 1, LARGE.length + 1])
    await assert.rejects(pushBlob(destinationOf(t, server), { ...blobOf(LARGE), size }, { retryMs: 1 }), /a blob has/);
});

test('an error of the reading side is told as it is', async (t) => {
  const server = await scriptedRegistry(t);
  const blob: BlobToPush = {
    ...blobOf(LARGE),
    async *open() {
      yield LARGE.subarray(0, PIECE);
      throw new Error('the disk is broken');
    },
  };
  await assert.rejects(pushBlob(destinationOf(t, server), blob, { retryMs: 1 }), /the disk is broken/);
});

test('a registry that does not say where to is an error', async (t) => {
  const server = await scriptedRegistry(t, {
    fault: (request, response) => request.method === 'POST' && (response.writeHead(202).end(), true),
  });
  await assert.rejects(pushBlob(destinationOf(t, server), blobOf(SMALL)), {
    code: 'REGISTRY_ANSWER',
    message: /does not say where/,
  });
});
