import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { createServer } from 'node:http';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { HttpClient, type HttpClientOptions } from '../../src/http/client.js';
import type { Retry } from '../../src/http/retry.js';
import { HttpError } from '../../src/http/http-error.js';
import { fixture } from '../support/fixtures.js';
import { scratch } from '../support/scratch.js';
import { bodyOf, endless, scriptedHttp } from '../support/servers/scripted-http.js';

const SECRET = 'Bearer c2VjcmV0LXRva2Vu';
const TLS = { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') };
const AUTHORITY = fixture('tls/ca.crt').toString();

function newClient(t: TestContext, options: Partial<HttpClientOptions> = {}): HttpClient {
  const client = new HttpClient({ agent: 'test', env: {}, retryMs: 1, ...options });
  t.after(() => client[Symbol.asyncDispose]());
  return client;
}

async function text(client: HttpClient, url: string, authorization?: string): Promise<string> {
  await using response = await client.request({ url: new URL(url), authorization });
  return `${response.status} ${(await response.bytes(1000)).toString()}`;
}

function fails(code: string, message?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HttpError, String(error));
    assert.equal(error.code, code, error.message);
    if (message) assert.match(error.message, message);
    assert.doesNotMatch(`${error.stack} ${String(error.cause)}`, /c2VjcmV0|hidden/);
    return true;
  };
}

test('a request says who asks and asks for the bytes as they are', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void response.end('fine'));
  assert.equal(await text(newClient(t), `${server.origin}/a?b=c%2Fd&b=e`, SECRET), '200 fine');
  const [request] = server.requests;
  assert.equal(request?.url, '/a?b=c%2Fd&b=e');
  assert.equal(request.headers['user-agent'], 'test');
  assert.equal(request.headers['accept-encoding'], 'identity');
  assert.equal(request.headers.authorization, SECRET);
});

test('authorization stays on the host it is for, on the way back as well', async (t) => {
  const other = await scriptedHttp(t, (request, response) => {
    if (request.url === '/storage') response.end('fine');
    else response.writeHead(307, { location: `${first.origin}/end` }).end();
  });
  const first = await scriptedHttp(t, (request, response) => {
    if (request.url === '/end') response.end('end');
    else
      response
        .writeHead(307, {
          location:
            request.url === '/stay'
              ? '/end'
              : request.url === '/back'
                ? `${other.origin}/back`
                : `${other.origin}/storage`,
        })
        .end();
  });
  const client = newClient(t);
  assert.equal(await text(client, `${first.origin}/away`, SECRET), '200 fine');
  assert.equal(await text(client, `${first.origin}/back`, SECRET), '200 end');
  assert.equal(await text(client, `${first.origin}/stay`, SECRET), '200 end');
  assert.deepEqual(
    other.requests.map(({ headers }) => headers.authorization),
    [undefined, undefined],
  );
  assert.deepEqual(
    first.requests.map(({ url, headers }) => [url, headers.authorization]),
    [
      ['/away', SECRET],
      ['/back', SECRET],
      ['/end', undefined],
      ['/stay', SECRET],
      ['/end', SECRET],
    ],
  );
});

const REDIRECTS: [name: string, location: string, message: RegExp][] = [
  ['in a circle', '/again', /more than 10 redirects/],
  ['to a file', 'file:///etc/passwd', /file:, which is not HTTP/],
  ['to what is no URL', 'http://[', /no URL/],
  ['with a password', 'http://user:hidden@127.0.0.1/', /password/],
];
for (const [name, location, message] of REDIRECTS) {
  test(`a redirect ${name} is an error`, async (t) => {
    const server = await scriptedHttp(t, (_, response) => void response.writeHead(302, { location }).end());
    await assert.rejects(
      text(newClient(t), `${server.origin}/?X-Amz-Signature=hidden`, SECRET),
      fails('HTTP_REDIRECT', message),
    );
    assert.ok(server.requests.length <= 11);
  });
}

test('a redirect from https to http is refused', async (t) => {
  const plain = await scriptedHttp(t, (_, response) => void response.end('read by everybody'));
  const server = await scriptedHttp(
    t,
    (_, response) => void response.writeHead(302, { location: plain.origin }).end(),
    TLS,
  );
  await assert.rejects(
    text(newClient(t, { tls: { authorities: [AUTHORITY] } }), server.origin),
    fails('HTTP_REDIRECT', /https to http/),
  );
  assert.equal(plain.requests.length, 0);
  assert.equal(await text(newClient(t, { tls: { verify: false } }), server.origin), '200 read by everybody');
});

test('a body goes to no other host, and on the same one only where it is to be sent again', async (t) => {
  const other = await scriptedHttp(t, (_, response) => void response.end());
  const bodies: string[] = [];
  const server = await scriptedHttp(t, async (request, response) => {
    bodies.push((await bodyOf(request)).toString());
    if (request.url === '/end') response.end('end');
    else
      response
        .writeHead(request.url === '/see' ? 303 : 307, { location: request.url === '/away' ? other.origin : '/end' })
        .end();
  });
  const client = newClient(t);
  const post = (path: string) =>
    client.request({ url: new URL(path, server.origin), method: 'POST', body: Buffer.from('refresh_token=hidden') });
  await assert.rejects(post('/away'), fails('HTTP_REDIRECT', /with a body/));
  await assert.rejects(post('/see'), fails('HTTP_REDIRECT', /with a body/));
  await using response = await post('/here');
  assert.equal(response.status, 200);
  assert.equal(other.requests.length, 0);
  assert.equal(bodies.at(-1), 'refresh_token=hidden');
});

for (const status of [429, 500, 502, 503, 504]) {
  test(`status ${status} is answered by patience`, async (t) => {
    const server = await scriptedHttp(
      t,
      (_, response, number) =>
        void (number <= 5 ? response.writeHead(status, { 'retry-after': '0' }).end('busy') : response.end('fine')),
    );
    const retries: Retry[] = [];
    assert.equal(await text(newClient(t, { onRetry: (retry) => retries.push(retry) }), server.origin), '200 fine');
    assert.deepEqual(
      retries.map(({ reason, waitMs }) => [reason, waitMs]),
      Array(5).fill([status, 0]),
    );
  });
}

test('what stays wrong is an answer', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void response.writeHead(503).end('closed today'));
  assert.equal(await text(newClient(t), server.origin), '503 closed today');
  assert.equal(server.requests.length, 6);
});

test('a stream is sent once, whatever comes back', async (t) => {
  const server = await scriptedHttp(t, async (request, response) => {
    await bodyOf(request);
    response.writeHead(503).end();
  });
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.from('bytes');
  }
  await using response = await newClient(t).request({ url: new URL(server.origin), method: 'PATCH', body: body() });
  assert.equal(response.status, 503);
  assert.equal(server.requests.length, 1);
});

test('a connection that breaks off before the answer is made again', async (t) => {
  const server = await scriptedHttp(
    t,
    (request, response, number) => void (number <= 3 ? request.socket.destroy() : response.end('fine')),
  );
  assert.equal(await text(newClient(t), server.origin), '200 fine');
  assert.equal(server.requests.length, 4);
});

test('a silent server is given up', async (t) => {
  const server = await scriptedHttp(
    t,
    (_, response, number) =>
      void (number === 1 ? undefined : number === 2 ? response.write('the beginning') : response.end('fine')),
  );
  const client = newClient(t, { idleMs: 300 });
  await assert.rejects(text(client, server.origin), fails('HTTP_IDLE'));
  assert.equal(server.requests.length, 2);
});

test('waiting ends when the caller says so', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void response.writeHead(503, { 'retry-after': '50' }).end());
  const stop = new AbortController();
  const request = newClient(t, { onRetry: () => stop.abort(new Error('enough')) }).request({
    url: new URL(server.origin),
    signal: stop.signal,
  });
  await assert.rejects(request, /enough/);
});

test('a body longer than its limit is not read', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void endless(response, Buffer.alloc(65536)));
  await assert.rejects(text(newClient(t), server.origin), fails('HTTP_SIZE', /1000 bytes/));
});

test('a proxy may compress an answer on its way', async (t) => {
  const server = await scriptedHttp(
    t,
    (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('fine')),
  );
  assert.equal(await text(newClient(t), server.origin), '200 fine');
});

test('a compressed answer cannot grow beyond the limit', async (t) => {
  const server = await scriptedHttp(
    t,
    (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50 << 20))),
  );
  await assert.rejects(text(newClient(t), server.origin), fails('HTTP_SIZE'));
});

test('encodings nobody knows and damaged ones are errors', async (t) => {
  const server = await scriptedHttp(
    t,
    (request, response) =>
      void response.writeHead(200, { 'content-encoding': request.url?.slice(1) }).end('not compressed'),
  );
  for (const encoding of ['gzip', 'br', 'deflate', 'zip-by-hand'])
    await assert.rejects(text(newClient(t), `${server.origin}/${encoding}`), fails('HTTP_ENCODING'));
});

test('nobody there', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(
    text(newClient(t), `http://127.0.0.1:${port}/?token=hidden`, SECRET),
    fails('HTTP_CONNECT', new RegExp(`127.0.0.1:${port}.*ECONNREFUSED`)),
  );
});

test('an answer that is no HTTP is an error that does not steer the terminal', async (t) => {
  const server = await scriptedHttp(t, (request) => void request.socket.end('SSH-2.0-\x1b[2J\r\n'));
  await assert.rejects(text(newClient(t), server.origin), fails('HTTP_PROTOCOL'));
});

test('a private authority is believed only when it is given', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void response.end('fine'), TLS);
  await assert.rejects(text(newClient(t), server.origin), fails('HTTP_TLS'));
  assert.equal(await text(newClient(t, { tls: { authorities: [AUTHORITY] } }), server.origin), '200 fine');
  assert.equal(await text(newClient(t, { tls: { verify: false } }), server.origin), '200 fine');
  const file = scratch(t, { 'ca.crt': AUTHORITY });
  for (const variable of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'])
    assert.equal(await text(newClient(t, { env: { [variable]: `${file}/ca.crt` } }), server.origin), '200 fine');
  assert.equal(await text(newClient(t, { env: { SSL_CERT_DIR: file } }), server.origin), '200 fine');
});

test('a file of authorities that is none is named', async (t) => {
  const folder = scratch(t, { 'ca.crt': 'nothing' });
  const server = await scriptedHttp(t, (_, response) => void response.end(), TLS);
  await assert.rejects(text(newClient(t, { env: { SSL_CERT_FILE: `${folder}/ca.crt` } }), server.origin), {
    code: 'BAD_CERTIFICATE',
    message: /ca\.crt/,
  });
  await assert.rejects(text(newClient(t, { env: { SSL_CERT_FILE: `${folder}/missing` } }), server.origin), {
    code: 'NOT_FOUND',
    message: /missing/,
  });
});

test('a certificate for another name is none', async (t) => {
  const server = await scriptedHttp(t, (_, response) => void response.end('fine'), {
    key: fixture('tls/client.key'),
    cert: fixture('tls/client.crt'),
  });
  await assert.rejects(text(newClient(t, { tls: { authorities: [AUTHORITY] } }), server.origin), fails('HTTP_TLS'));
});

test('the client certificate is shown to its host and to no other', async (t) => {
  const asking = { ...TLS, ca: AUTHORITY, requestCert: true, rejectUnauthorized: false };
  const shown: [string, boolean][] = [];
  const note = (name: string, request: { socket: unknown }): number =>
    shown.push([name, (request.socket as { authorized: boolean }).authorized]);
  const storage = await scriptedHttp(
    t,
    (request, response) => {
      note('storage', request);
      response.end('fine');
    },
    asking,
  );
  const registry = await scriptedHttp(
    t,
    (request, response) => {
      note('registry', request);
      response.writeHead(307, { location: storage.origin }).end();
    },
    asking,
  );
  const clientCertificates = [
    { certificate: fixture('tls/client.crt').toString(), key: fixture('tls/client.key').toString() },
  ];
  const client = newClient(t, { tls: { authorities: [AUTHORITY], clientCertificates, host: registry.host } });
  assert.equal(await text(client, registry.origin), '200 fine');
  assert.deepEqual(shown, [
    ['registry', true],
    ['storage', false],
  ]);
});

test('a proxy is used for http and for https, with its password', async (t) => {
  const target = await scriptedHttp(
    t,
    (request, response) => void response.end(`${request.url} ${request.headers['proxy-authorization']}`),
    TLS,
  );
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization']}`);
    response.end('by proxy');
  });
  proxy.on('connect', (request, socket, head) => {
    seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`);
    const upstream = connect(Number(target.host.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    for (const end of [socket, upstream]) end.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const uri = `http://user:hidden@127.0.0.1:${(proxy.address() as { port: number }).port}`;
  const client = newClient(t, {
    env: { HTTP_PROXY: uri, https_proxy: uri, NO_PROXY: 'not.this' },
    tls: { authorities: [AUTHORITY] },
  });
  const basic = `Basic ${Buffer.from('user:hidden').toString('base64')}`;
  assert.equal(await text(client, 'http://registry.test/v2/?n=1'), '200 by proxy');
  assert.equal(await text(client, 'https://registry.test/v2/'), '200 /v2/ undefined');
  assert.deepEqual(seen, [`GET http://registry.test/v2/?n=1 ${basic}`, `CONNECT registry.test:443 ${basic}`]);
});

test('a proxy that refuses is an error without its password', async (t) => {
  const proxy = createServer();
  proxy.on('connect', (_, socket) => void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'));
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => void proxy.close());
  const client = newClient(t, {
    env: { HTTPS_PROXY: `http://user:hidden@127.0.0.1:${(proxy.address() as { port: number }).port}` },
  });
  await assert.rejects(text(client, 'https://registry.test/'), fails('HTTP_CONNECT', /407/));
});
