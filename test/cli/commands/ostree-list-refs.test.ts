// The refs of a repository on a web server, with headers that it wants.
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { encodeVariant } from '../../../src/ostree/gvariant/encode.js';
import { startCli } from '../../support/cli/start-cli.js';
import { newRepository } from '../../support/images/source-layout.js';
import { scriptedHttp } from '../../support/servers/scripted-http.js';

test('each header is sent, however many there are', async (t) => {
  const refs = [['a', [Buffer.alloc(8), Buffer.alloc(32, 7), []]]];
  const summary = encodeVariant('(a(s(taya{sv}))a{sv})', [refs, []]);
  let headers: IncomingHttpHeaders = {};
  const web = await scriptedHttp(t, (request, response) => {
    ({ headers } = request);
    if (request.url === '/summary') response.end(summary);
    else response.writeHead(404).end();
  });
  const wanted = ['--header', 'X-One: 1', '--header', 'X-Two:  two words'];
  const { path } = await newRepository(t);
  const { status, stdout, stderr } = await startCli(['--repo', path, 'ostree', 'list-refs', web.origin, ...wanted])
    .ended;
  assert.equal(status, 0, stderr);
  assert.match(stdout, /\ba\b/);
  assert.deepEqual([headers['x-one'], headers['x-two']], ['1', 'two words']);
});

test('what is no header is said before anything is asked', async () => {
  const { status, stderr } = await startCli(['ostree', 'list-refs', 'http://127.0.0.1:1', '--header', 'none']).ended;
  assert.equal(status, 2);
  assert.match(stderr, /Expected NAME:VALUE/);
});
