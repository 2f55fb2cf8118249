// Images of docker's daemon, played by a server on a Unix socket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openDaemonImage, type DaemonImageOptions } from '../../../src/oci/source/docker-daemon.js';
import { openSource } from '../../../src/oci/source/open.js';
import { hostPlatform } from '../../../src/spec/platform.js';
import { startCli } from '../../support/cli/start-cli.js';
import { archiveOf, newFolder, newRepository, sha256, tarOf, writeIn } from '../../support/images/source-layout.js';
import { withoutLeak } from '../../support/open-fds.js';
import { endless } from '../../support/servers/scripted-http.js';

const LAYER = tarOf({ text: 'text '.repeat(10_000) });
const CONFIG = JSON.stringify({ ...hostPlatform(), rootfs: { type: 'layers', diff_ids: [sha256(LAYER)] } });
const LISTING = JSON.stringify([{ Config: 'c.json', RepoTags: ['example.com/a:b'], Layers: ['l.tar'] }]);
const ARCHIVE = archiveOf([
  ['l.tar', LAYER],
  ['c.json', CONFIG],
  ['manifest.json', LISTING],
]);
const ID = sha256(Buffer.from(CONFIG));

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

interface Daemon {
  env: NodeJS.ProcessEnv;
  urls: string[];
}

async function daemon(t: TestContext, answer: Answer): Promise<Daemon> {
  const path = join(newFolder(t), 'docker.sock');
  const urls: string[] = [];
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    urls.push(`${request.method} ${request.url}`);
    answer(response, request);
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { env: { DOCKER_HOST: `unix://${path}` }, urls };
}

const give: Answer = (response) => response.setHeader('content-type', 'application/x-tar').end(ARCHIVE);

test('an image is what it is as a docker archive, also when it comes compressed', async (t) => {
  await using archive = await openSource(`docker-archive:${writeIn(join(newFolder(t), 'a.tar'), ARCHIVE)}`);
  for (const bytes of [ARCHIVE, gzipSync(ARCHIVE)]) {
    const { env } = await daemon(t, (response) => response.end(bytes));
    await withoutLeak(async () => {
      await using source = await openDaemonImage('example.com/a:b', { env });
      assert.deepEqual(source.manifest, archive.manifest);
      assert.deepEqual(source.config, archive.config);
      const read: Buffer[] = [];
      await using stream = await source.layers[0]!.open();
      for await (const chunks of stream)
        for (const chunk of chunks) if (chunk.kind === 'bytes') read.push(Buffer.from(chunk.bytes));
      assert.equal(sha256(Buffer.concat(read)), sha256(LAYER));
    });
  }
});

const asked: [image: string, name: string][] = [
  ['debian', 'docker.io/library/debian:latest'],
  ['localhost:5000/x/y:z', 'localhost:5000/x/y:z'],
  [`a@${ID}`, `docker.io/library/a@${ID}`],
  [ID, ID],
];
for (const [image, name] of asked)
  test(`the daemon is asked for ${image} in full`, async (t) => {
    const { env, urls } = await daemon(t, give);
    await using source = await openDaemonImage(image, { env });
    assert.equal(source.layers.length, 1);
    assert.deepEqual(urls, [`GET /images/${name}/get`]);
  });

for (const image of ['', 'UPPER', 'a/../../containers', 'a?all=1', 'a#b', 'a b', 'a\r\nx: y'])
  test(`nobody is asked for ${JSON.stringify(image)}`, async () => {
    await assert.rejects(openDaemonImage(image, { env: {} }), { code: 'BAD_REFERENCE' });
  });

const answers: [
  what: string,
  answer: Answer,
  error: { code: string; message: RegExp },
  options?: DaemonImageOptions,
][] = [
  [
    'has no such image',
    (response) => response.writeHead(404).end('{"message":"No such image: \\u001b[31mx"}'),
    { code: 'NOT_FOUND', message: /docker\.sock has no image "docker\.io\/library\/x:latest": No such.*\\x1b\[31mx/ },
  ],
  [
    'fails',
    (response) => response.writeHead(500).end('{"message":"disk\\nbroken"}'),
    { code: 'DAEMON', message: /docker\.sock does not give .*: disk broken \(status 500\)/ },
  ],
  [
    'is a web server that has nothing',
    (response) => response.writeHead(403, { 'content-type': 'text/html' }).end('<html><title>x</title></html>'),
    { code: 'DAEMON', message: /a page \(status 403\)/ },
  ],
  [
    'is a web server that has a page for everything',
    (response) => response.end(`<html>${'x'.repeat(2000)}</html>`),
    { code: 'TAR_CHECKSUM', message: /^the archive of docker\.io\/library\/x:latest: / },
  ],
  [
    'refuses without end',
    (response) => void endless(response.writeHead(500), Buffer.alloc(100_000, 'x')),
    { code: 'DAEMON', message: /x… \(status 500\)/ },
  ],
  [
    'sends without end',
    (response) => void endless(response, ARCHIVE),
    { code: 'NO_SPACE', message: /does not fit/ },
    { limit: 5_000_000 },
  ],
  [
    'expands without end',
    (response) => response.end(gzipSync(Buffer.alloc(20_000_000))),
    { code: 'NO_SPACE', message: /does not fit/ },
    { limit: 5_000_000 },
  ],
  [
    'breaks off',
    (response) => response.write(ARCHIVE.subarray(0, 9000), () => response.destroy()),
    { code: 'DAEMON', message: /docker\.sock: the connection broke off/ },
  ],
  [
    'ends in the middle, as if that were all',
    (response) => response.end(ARCHIVE.subarray(0, 9000)),
    { code: 'TAR_TRUNCATED', message: /ends in the middle/ },
  ],
  [
    'fails in the middle, as docker does',
    (response) => response.end(Buffer.concat([ARCHIVE.subarray(0, 512), Buffer.from('{"message":"no"}')])),
    { code: 'TAR_TRUNCATED', message: /ends in the middle/ },
  ],
  ['sends nothing at all', (response) => response.end(), { code: 'NOT_FOUND', message: /it has no manifest\.json/ }],
  ['says nothing', () => undefined, { code: 'DAEMON', message: /says nothing any more/ }, { idleMs: 50 }],
  [
    'is silent in the middle',
    (response) => response.write(ARCHIVE.subarray(0, 600)),
    { code: 'DAEMON', message: /says nothing any more/ },
    { idleMs: 50 },
  ],
  [
    'speaks something else',
    (response) => response.socket?.end('hello\r\n\r\n'),
    { code: 'DAEMON', message: /not HTTP/ },
  ],
  [
    'sends elsewhere without end',
    (response, { url = '' }) => response.writeHead(302, { location: `${url}/x` }).end(),
    { code: 'DAEMON', message: /more than 10 redirects/ },
  ],
];
for (const [what, answer, error, options] of answers)
  test(`a daemon that ${what}`, async (t) => {
    const { env } = await daemon(t, answer);
    await withoutLeak(() => assert.rejects(openDaemonImage('x', { env, ...options }), error));
  });

test('no daemon, and places where none can be', async (t) => {
  const folder = newFolder(t);
  writeFileSync(join(folder, 'file'), '');
  const at = (host: string): Promise<unknown> => openDaemonImage('x', { env: { DOCKER_HOST: host } });
  for (const name of ['nothing', 'file'])
    await assert.rejects(at(`unix://${folder}/${name}`), {
      code: 'DAEMON',
      message: new RegExp(`daemon at ${folder}/${name}: cannot be reached: .*DOCKER_HOST`),
    });
  for (const host of ['tcp://127.0.0.1:2375', 'ssh://somebody@host', 'unix://relative', '/var/run/docker.sock'])
    await assert.rejects(at(host), { code: 'DAEMON', message: /only unix:\/\/\/PATH/ });
});

test('a signal ends a wait for the daemon', async (t) => {
  const { env } = await daemon(t, () => undefined);
  const signal = AbortSignal.timeout(50);
  await withoutLeak(() => assert.rejects(openDaemonImage('x', { env, signal }), { name: 'TimeoutError' }));
});

test('the command pulls from the daemon of DOCKER_HOST, by no proxy, and leaves no file behind', async (t) => {
  const { env, urls } = await daemon(t, give);
  const { path } = await newRepository(t);
  const TMPDIR = newFolder(t);
  const { status, stdout, stderr } = await startCli(['--repo', path, 'oci', 'pull', 'docker-daemon:a:b', 'it'], {
    ...env,
    TMPDIR,
    HTTP_PROXY: 'http://127.0.0.1:1',
    http_proxy: 'http://127.0.0.1:1',
  }).ended;
  assert.equal(status, 0, stderr);
  assert.ok(stdout.includes(`config   ${ID}`), stdout);
  assert.deepEqual(urls, ['GET /images/docker.io/library/a:b/get']);
  assert.deepEqual(readdirSync(TMPDIR), []);
});
