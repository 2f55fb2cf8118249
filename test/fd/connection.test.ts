import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Connection, Fd, fromFd, listen, MAX_FDS_PER_SEND, socketpair, SocketError, type Segment, type SocketType } from '../../src/fd/fd-passing.js';
import { openFds, withoutLeak } from './open-fds.js';

const folder = mkdtempSync(join(tmpdir(), 'fd-passing-'));
after(() => rmSync(folder, { recursive: true }));
let sockets = 0;
const newPath = (): string => join(folder, `s${sockets++}`);
const peerFile = fileURLToPath(new URL('./peer.js', import.meta.url));

/** Starts the other end; `exit` is listened for from the start, so that it cannot be missed. */
function peer(task: string, path: string, argument = '', command: string[] = []): { child: ChildProcess; exit: Promise<unknown[]> } {
  const [program, ...rest] = [...command, process.execPath, peerFile, task, path, argument];
  const child = spawn(program!, rest, { stdio: 'inherit' });
  return { child, exit: once(child, 'exit') };
}

function pair(type: SocketType = 'stream', options = {}): [Connection, Connection] {
  const [one, other] = socketpair(type);
  return [fromFd(one, options), fromFd(other, options)];
}

function devNull(): Fd {
  return new Fd(openSync('/dev/null', 'r'));
}

function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}

async function errorCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SocketError ? error.code : (error as Error).name;
  }
  return 'no error';
}

test('descriptors go to another process and back, close-on-exec, the sender keeps its own', async () => {
  await withoutLeak(async () => {
    const path = newPath();
    using listener = await listen(path);
    const { child, exit } = peer('echo', path);
    using connection = await listener.accept();
    assert.equal(connection.peer.pid, child.pid);
    assert.equal(connection.peer.uid, process.getuid!());
    const file = join(folder, 'content');
    writeFileSync(file, 'through two processes');
    using fd = new Fd(openSync(file, 'r'));
    await connection.send(Buffer.from('take it'), [fd]);
    const { bytes, fds } = (await connection.receive())!;
    assert.equal(bytes.toString(), 'take it');
    assert.equal(fds.length, 1);
    const [received] = fds as [Fd];
    assert.equal(fstatSync(received.number).ino, fstatSync(fd.number).ino);
    const content = Buffer.alloc(21);
    readSync(received.number, content, 0, 21, 0);
    assert.equal(content.toString(), 'through two processes');
    assert.match(readFileSync(`/proc/self/fdinfo/${received.number}`, 'latin1'), /flags:\s+0?2\d{6}\b/, 'O_CLOEXEC');
    received.close();
    await connection.shutdown();
    assert.equal(await connection.receive(), undefined);
    await exit;
  });
});

test('seqpacket keeps boundaries; a packet longer than agreed closes what came with it', async () => {
  await withoutLeak(async () => {
    const [one, other] = pair('seqpacket', { maxPacket: 1000 });
    using fd = devNull();
    for (const size of [1, 1000, 3, 999]) await one.send(Buffer.alloc(size, size & 255), size & 1 ? [fd, fd] : []);
    for (const size of [1, 1000, 3, 999]) {
      const { bytes, fds } = (await other.receive())!;
      assert.deepEqual(bytes, Buffer.alloc(size, size & 255));
      assert.equal(fds.length, size & 1 ? 2 : 0);
      closeAll(fds);
    }
    await one.send(Buffer.alloc(1001), [fd]);
    assert.equal(await errorCode(other.receive()), 'PACKET_TRUNCATED');
    assert.equal(await errorCode(other.receive()), 'PACKET_TRUNCATED');
    one.close();
    other.close();
  });
});

test('a stream never joins the descriptors of two sends', async () => {
  await withoutLeak(async () => {
    const [one, other] = pair();
    using fd = devNull();
    await one.send(Buffer.from('plain '));
    await one.send(Buffer.from('one '), [fd]);
    await one.send(Buffer.from('two'), [fd, fd]);
    await one.shutdown();
    const seen: [string, number][] = [];
    for await (const { bytes, fds } of other) {
      seen.push([bytes.toString(), fds.length]);
      closeAll(fds);
    }
    assert.deepEqual(seen.map(([, count]) => count).filter((count) => count > 0), [1, 2]);
    assert.equal(seen.map(([text]) => text).join(''), 'plain one two');
    assert.ok(seen.find(([, count]) => count === 1)![0].endsWith('one '));
    one.close();
    other.close();
  });
});

test('253 descriptors pass, 254 are refused before anything is sent', async () => {
  await withoutLeak(async () => {
    const [one, other] = pair();
    using fd = devNull();
    const most = new Array<Fd>(MAX_FDS_PER_SEND).fill(fd);
    assert.equal(await errorCode(one.send(Buffer.from('x'), [...most, fd])), 'TOO_MANY_FDS');
    await one.send(Buffer.from('y'), most);
    const segment = (await other.receive())!;
    assert.equal(segment.bytes.toString(), 'y');
    assert.equal(segment.fds.length, 253);
    closeAll(segment.fds);
    await assert.rejects(one.send(Buffer.alloc(0), [fd]), RangeError);
    one.close();
    other.close();
  });
});

test('a large send waits for the reader, and arrives whole and in order', async () => {
  await withoutLeak(async () => {
    const [one, other] = pair();
    using fd = devNull();
    const data = Buffer.alloc(5_000_000);
    for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i, i);
    let taken = false;
    const sending = one.send(data, [fd]).then(() => (taken = true));
    const second = one.send(Buffer.from('after'));
    await sleep(20);
    assert.equal(taken, false, 'the kernel cannot have taken 5 MB');
    const parts: Buffer[] = [];
    let length = 0;
    let fds = 0;
    while (length < data.length + 5) {
      const segment = (await other.receive())!;
      fds += segment.fds.length;
      closeAll(segment.fds);
      parts.push(segment.bytes);
      length += segment.bytes.length;
    }
    await Promise.all([sending, second]);
    assert.equal(fds, 1);
    assert.ok(Buffer.concat(parts).equals(Buffer.concat([data, Buffer.from('after')])));
    one.close();
    other.close();
  });
});

test('70,000 descriptors: the sender waits, the reader decides how many exist', async () => {
  await withoutLeak(async () => {
    const path = newPath();
    using listener = await listen(path);
    const { child, exit } = peer('flood', path, '70000');
    using connection = await listener.accept();
    await sleep(150);
    assert.equal(child.exitCode, null);
    let total = 0;
    let most = 0;
    for await (const { fds } of connection) {
      total += fds.length;
      most = Math.max(most, openFds().size);
      closeAll(fds);
    }
    assert.equal(total, 70_000);
    assert.ok(most < 400, `${most} open at once`);
    assert.deepEqual(await exit, [0, null]);
  });
});

const root = process.getuid!() === 0;
test('a user at the limit of descriptors in flight waits until some are taken', { skip: root ? false : 'needs root, to become a user whose limit counts' }, async () => {
  await withoutLeak(async () => {
    const path = newPath();
    using listener = await listen(path);
    // With 300 open files at most, the second batch of 250 is refused while the first is in flight (ETOOMANYREFS).
    const { exit } = peer('floodAsNobody', path, '2500', ['sh', '-c', 'ulimit -n 300; exec "$@"', 'sh']);
    using connection = await listener.accept();
    await sleep(100);
    let total = 0;
    for await (const { fds } of connection) {
      total += fds.length;
      closeAll(fds);
    }
    assert.equal(total, 2500);
    assert.deepEqual(await exit, [0, null]);
  });
});

test('a receiver at its limit of open files gets a typed error and keeps no descriptor', async () => {
  await withoutLeak(async () => {
    const path = newPath();
    using listener = await listen(path);
    const { exit } = peer('receiveOnce', path, '', ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh']);
    using connection = await listener.accept();
    assert.equal((await connection.receive())!.bytes.toString(), 'ready');
    using fd = devNull();
    await connection.send(Buffer.from('many'), new Array<Fd>(200).fill(fd));
    using answer = await listener.accept();
    assert.equal((await answer.receive())!.bytes.toString(), 'CONTROL_TRUNCATED 0');
    await exit;
  });
});

test('a peer that is killed after any number of bytes ends the data, nothing leaks', async () => {
  await withoutLeak(async () => {
    for (const bytes of [0, 1, 70_000]) {
      const path = newPath();
      using listener = await listen(path);
      const { exit } = peer('vanish', path, String(bytes));
      using connection = await listener.accept();
      let received = 0;
      for await (const segment of connection) {
        received += segment.bytes.length;
        closeAll(segment.fds);
      }
      assert.equal(received, bytes);
      assert.equal(await errorCode(connection.send(Buffer.from('anybody?'))), 'PEER_GONE');
      await exit;
    }
  });
});

test('abort ends a receive and leaves the connection usable', async () => {
  const [one, other] = pair();
  const abort = new AbortController();
  const waiting = errorCode(other.receive({ signal: abort.signal }));
  abort.abort();
  assert.equal(await waiting, 'AbortError');
  await one.send(Buffer.from('still here'));
  assert.equal((await other.receive())!.bytes.toString(), 'still here');
  one.close();
  other.close();
});

test('a send given up halfway ruins the sending side and says so', async () => {
  await withoutLeak(async () => {
    const [one, other] = pair();
    using fd = devNull();
    const abort = new AbortController();
    const sending = errorCode(one.send(Buffer.alloc(1_000_000), [fd], { signal: abort.signal }));
    const queued = errorCode(one.send(Buffer.from('x'), [], { signal: abort.signal }));
    const after = errorCode(one.send(Buffer.from('y')));
    await sleep(10);
    abort.abort();
    assert.deepEqual(await Promise.all([sending, queued, after]), ['AbortError', 'AbortError', 'SEND_INTERRUPTED']);
    one.close();
    let fds = 0;
    for await (const segment of other) {
      fds += segment.fds.length;
      closeAll(segment.fds);
    }
    assert.equal(fds, 1);
    other.close();
  });
});

test('the signal of a connection, and close, end both directions', async () => {
  const abort = new AbortController();
  const [one, other] = pair('stream', { signal: abort.signal });
  const pending = [errorCode(one.receive()), errorCode(one.send(Buffer.alloc(1_000_000)))];
  await sleep(10);
  abort.abort();
  assert.deepEqual(await Promise.all(pending), ['AbortError', 'AbortError']);
  assert.equal(one.closed && other.closed, true);

  const [third, fourth] = pair();
  const receive = errorCode(third.receive());
  third.close();
  assert.equal(await receive, 'CONNECTION_CLOSED');
  assert.equal(await fourth.receive(), undefined);
  fourth.close();
});

test('silence longer than the idle timeout ends a receive and a stuck send', async () => {
  const [one, other] = pair('stream', { idleTimeout: 30 });
  assert.equal(await errorCode(one.receive()), 'IDLE_TIMEOUT');
  assert.equal(await errorCode(one.send(Buffer.alloc(1_000_000))), 'IDLE_TIMEOUT');
  assert.equal(await errorCode(one.send(Buffer.from('x'))), 'SEND_INTERRUPTED');
  one.close();
  other.close();
});

test('a reader of an endless sender leaves the event loop its turns', async () => {
  const [one, other] = pair();
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  const until = Date.now() + 100;
  const writer = (async () => {
    while (Date.now() < until) await one.send(Buffer.alloc(1024));
    one.close();
  })();
  for (let segment: Segment | undefined; (segment = await other.receive()); ) assert.ok(segment.bytes.length > 0);
  await writer;
  clearInterval(timer);
  other.close();
  assert.ok(timers > 10, `${timers} timer calls in 100 ms`);
});

test('what is not a connected Unix socket is refused and stays with its owner', () => {
  using fd = devNull();
  assert.throws(() => fromFd(fd), { code: 'NOT_A_SOCKET' });
  assert.equal(fd.closed, false);
});

test('a waiting socket keeps the process alive, an idle one does not', async () => {
  const module = new URL('../../src/fd/fd-passing.js', import.meta.url).href;
  const run = async (code: string): Promise<number | null> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', `import { socketpair, fromFd } from '${module}';
      const [a, b] = socketpair(); const one = fromFd(a), two = fromFd(b); ${code}`], { stdio: 'inherit' });
    const timer = setTimeout(() => child.kill(), 3000);
    const [status] = (await once(child, 'exit')) as [number | null];
    clearTimeout(timer);
    return status;
  };
  assert.equal(await run(''), 0);
  assert.equal(await run('one.receive().then(() => process.exit(7)); setTimeout(() => two.send(Buffer.from("x")), 20).unref(); one.send(Buffer.from("y"))'), 7);
});
