import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { showUrl } from '../../src/http/http-error.js';
import { scriptedHttp } from '../support/servers/scripted-http.js';

const PROGRAM = fileURLToPath(new URL('secrets.program.js', import.meta.url));

for (const debug of ['undici,fetch', 'http,https,net,tls,stream,timer', '*']) {
  test(`NODE_DEBUG=${debug} prints no secrets`, async (t) => {
    const server = await scriptedHttp(t, (request, response) => {
      if (request.url === '/') response.writeHead(307, { location: '/storage?X-Amz-Signature=hidden-signature' }).end();
      else response.end('arrived');
    });
    const { output, status } = await run([PROGRAM, server.origin], { ...process.env, NODE_DEBUG: debug });
    assert.equal(status, 0, output);
    assert.match(output, /arrived/);
    assert.doesNotMatch(output, /hidden/);
    assert.deepEqual(
      server.requests.map(({ url, headers }) => [url, headers.authorization]),
      [
        ['/', 'Bearer hidden-token'],
        ['/storage?X-Amz-Signature=hidden-signature', 'Bearer hidden-token'],
      ],
    );
  });
}

async function run(args: string[], env: NodeJS.ProcessEnv): Promise<{ output: string; status: number | null }> {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => (output += piece.toString('latin1')));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { output, status };
}

const SHOWN: [url: string, expected: string][] = [
  ['https://user:hidden@reg.test/v2/', 'https://reg.test/v2/'],
  [
    'https://reg.test/v2/a/blobs/uploads/1?_state=hidden&digest=sha256:ab',
    'https://reg.test/v2/a/blobs/uploads/1?_state=…&digest=sha256:ab',
  ],
  [
    'https://s3.test/b?X-Amz-Credential=hidden&X-Amz-Signature=hidden',
    'https://s3.test/b?X-Amz-Credential=…&X-Amz-Signature=…',
  ],
  [
    'https://reg.test/token?service=s&scope=repository:a:pull&account=hidden',
    'https://reg.test/token?service=s&scope=repository:a:pull&account=…',
  ],
  ['https://reg.test/?%1b[2J=1&n=%1b[2J', 'https://reg.test/?\\x1b[2J=…&n=\\x1b[2J'],
];
for (const [url, expected] of SHOWN) test(`shows ${expected}`, () => assert.equal(showUrl(new URL(url)), expected));
