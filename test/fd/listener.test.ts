import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, Fd, listen, listenFd, type Connection } from '../../src/fd/fd-passing.js';
import { withoutLeak } from '../support/open-fds.js';

const folder = mkdtempSync(join(tmpdir(), 'listener-'));
after(() => rmSync(folder, { recursive: true }));

test('the socket file has the mode asked for, whatever the umask, and goes with the listener', async () => {
  await withoutLeak(async () => {
    for (const mode of [0o600, 0o660, 0o777]) {
      const path = join(folder, `mode-${mode}`);
      const old = process.umask(0o027);
      try {
        using listener = await listen(path, { mode });
        assert.equal(statSync(path).mode & 0o777, mode);
        assert.equal(listener.type, 'stream');
      } finally {
        process.umask(old);
      }
      assert.equal(existsSync(path), false);
    }
  });
});

test('a stale socket file is replaced, a live one and other files are not', async () => {
  const path = join(folder, 'stale');
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await once(child, 'exit');
  assert.ok(existsSync(path));
  await withoutLeak(async () => {
    using listener = await listen(path, { type: 'seqpacket' });
    await assert.rejects(listen(path), { code: 'ADDRESS_IN_USE', message: `another process listens on ${path}` });
    using client = await connect(path, { type: 'seqpacket' });
    using server = await listener.accept();
    await client.send(Buffer.from('x'));
    assert.equal((await server.receive())!.bytes.toString(), 'x');
    await assert.rejects(connect(path), { code: 'EPROTOTYPE' });
  });
  const plain = join(folder, 'plain');
  writeFileSync(plain, 'mine');
  await assert.rejects(listen(plain), {
    code: 'ADDRESS_IN_USE',
    message: `${plain} is there already, and is no socket`,
  });
  assert.equal(statSync(plain).size, 4);
});

test('a stale socket of another user stays', { skip: process.geteuid?.() !== 0 && 'needs root' }, async () => {
  const path = join(folder, 'foreign');
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await once(child, 'exit');
  chownSync(path, 12345, 12345);
  await assert.rejects(listen(path), { code: 'ADDRESS_IN_USE', message: /belongs to user 12345; remove it/ });
  assert.ok(existsSync(path));
});

test('an empty path', async () => {
  await withoutLeak(async () => {
    await assert.rejects(listen(''), /path of the socket is empty/);
    await assert.rejects(connect(''), /path of the socket is empty/);
  });
});

test('closing does not remove the file of a successor', async () => {
  const path = join(folder, 'successor');
  const first = await listen(path);
  rmSync(path);
  using second = await listen(path);
  first.close();
  assert.ok(existsSync(path));
  assert.equal(second.type, 'stream');
});

test('paths longer than a socket address work on both ends', async () => {
  const long = mkdtempSync(join(folder, 'd'.repeat(120)));
  const path = join(long, 'socket');
  await withoutLeak(async () => {
    using listener = await listen(path);
    using client = await connect(path);
    using server = await listener.accept();
    assert.equal(server.peer.pid, process.pid);
    assert.equal(client.type, 'stream');
  });
  assert.equal(existsSync(path), false);
});

test('iteration serves connections until close; a full queue makes clients wait, not fail', async () => {
  await withoutLeak(async () => {
    const path = join(folder, 'many');
    const listener = await listen(path, { backlog: 1 });
    const clients = Promise.all(
      Array.from({ length: 20 }, async () => {
        using client = await connect(path);
        return (await client.receive())!.bytes.toString();
      }),
    );
    let served = 0;
    for await (const connection of listener) {
      await greet(connection, served);
      if (++served === 20) listener.close();
    }
    assert.equal(new Set(await clients).size, 20);
  });
});

async function greet(connection: Connection, number: number): Promise<void> {
  using open = connection;
  await open.send(Buffer.from(`hello ${number}`));
}

test('an abort signal ends accept, and connect to a queue nobody serves', async () => {
  await withoutLeak(async () => {
    const path = join(folder, 'abort');
    using listener = await listen(path, { backlog: 0 });
    using first = await connect(path);
    await assert.rejects(connect(path, { signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' });
    await assert.rejects(connect(path, { idleTimeout: 30 }), { code: 'IDLE_TIMEOUT' });
    using accepted = await listener.accept();
    assert.equal(accepted.closed || first.closed, false);
    await assert.rejects(listener.accept({ signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' });
    await assert.rejects(connect(join(folder, 'nobody')), { code: 'ENOENT' });
  });
});

test('the signal of a listener ends it and its connections, however many, without a warning', async () => {
  const warnings: Error[] = [];
  const collect = (warning: Error): void => void warnings.push(warning);
  process.on('warning', collect);
  await withoutLeak(async () => {
    const path = join(folder, 'signal');
    const abort = new AbortController();
    const listener = await listen(path, { signal: abort.signal });
    const clients: Connection[] = [];
    const accepted: Connection[] = [];
    for (let i = 0; i < 20; i++) {
      clients.push(await connect(path));
      accepted.push(await listener.accept());
    }
    const waiting = [accepted[3]!.receive(), listener.accept()];
    abort.abort(new Error('shutting down'));
    for (const { reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[])
      assert.equal((reason as Error).message, 'shutting down');
    assert.ok(accepted.every(({ closed }) => closed));
    for (const client of clients) {
      assert.equal(await client.receive(), undefined);
      client.close();
    }
  });
  process.off('warning', collect);
  assert.deepEqual(warnings, []);
});

test('a listening socket made by somebody else is taken over', async () => {
  const path = join(folder, 'inherited');
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  using original = new Fd(fd);
  using listener = listenFd(original.duplicate());
  original.take();
  server.unref();
  using client = await connect(path);
  using accepted = await listener.accept();
  await client.send(Buffer.from('to either'));
  assert.equal((await accepted.receive())!.bytes.toString(), 'to either');
  server.close();
});
