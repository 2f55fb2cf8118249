// What a peer, or a moment without memory, does to one connection must not end the server.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attackedStore } from './attacked-store.js';
import { connect } from '../../src/fd/fd-passing.js';
import { attack } from './attack.js';
import { AttackedServer } from './server.js';

const skip =
  spawnSync('strace', ['-V']).status === 0 ? false : 'needs strace, whose fault injection makes the calls fail';

let folder: string;
let graphroot: string;

before(() => {
  ({ folder, graphroot } = attackedStore('localhost/it:1', [{ name: 'file', content: Buffer.alloc(100, 'x') }]));
});

after(() => rmSync(folder, { recursive: true }));

const calls = {
  jsonrpc: '{"jsonrpc":"2.0","id":1,"method":"GetInfo","params":{}}',
  varlink: '{"method":"org.varlink.service.GetInfo"}\0',
};

/** Makes a call and half closes, so that a server that looks whether anybody is there does so. @returns the answer */
async function call(socket: string, protocol: keyof typeof calls): Promise<string> {
  using connection = await connect(socket, { idleTimeout: 5000 });
  await connection.send(Buffer.from(calls[protocol]));
  await connection.shutdown();
  let answer = '';
  try {
    for await (const { bytes } of connection) answer += bytes.toString();
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'PEER_GONE');
  }
  return answer;
}

async function survives(fault: string, protocol: keyof typeof calls): Promise<string> {
  const syscall = fault.split(':')[0] as string;
  // -D: strace is the server's child, so that what is started is the server.
  await using server = await AttackedServer.start(
    folder,
    ['serve', '--root', graphroot],
    ['strace', '-D', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${syscall}`, '-e', `inject=${fault}`],
  );
  for (let attempt = 0; attempt < 10; attempt++) {
    if ((await call(server.socket, protocol)).includes('eatures')) continue;
    await sleep(20);
    assert.ok(server.running, `the server ended: ${server.errors}`);
  }
  assert.match(await call(server.socket, protocol), /features|vendor/);
  return 'that connection ended, the next is served';
}

for (const error of ['EIO', 'ENOMEM', 'ENOBUFS'])
  for (const protocol of ['jsonrpc', 'varlink'] as const)
    attack(`sendmsg fails with ${error} (${protocol})`, { skip }, () =>
      survives(`sendmsg:error=${error}:when=1..3`, protocol),
    );

for (const error of ['EPERM', 'ENOMEM', 'EPROTO', 'EMFILE'])
  attack(`accept4 fails with ${error}`, { skip }, () => survives(`accept4:error=${error}:when=1..3`, 'jsonrpc'));

for (const error of ['EIO', 'ENOMEM'])
  attack(`recvmsg fails with ${error}`, { skip }, () => survives(`recvmsg:error=${error}:when=2..3`, 'jsonrpc'));
