import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fd, fromFd, listen, MAX_FDS_PER_SEND, type Segment } from '../../src/fd/fd-passing.js';
import { closeAll, devNull, errorCode, folder, newPath, pair, peer } from './ends.js';
import { withoutLeak } from '../support/open-fds.js';

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

test('seqpacket keeps boundaries; a packet longer than agreed is lost with what came with it, and no other', async () => {
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
    await one.send(Buffer.from('next'), [fd]);
    assert.equal(await errorCode(other.receive()), 'PACKET_TRUNCATED');
    const next = (await other.receive())!;
    assert.equal(next.bytes.toString(), 'next');
    assert.equal(next.fds.length, 1);
    closeAll(next.fds);
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
    assert.deepEqual(
      seen.map(([, count]) => count).filter((count) => count > 0),
      [1, 2],
    );
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

test('a reader of an endless sender leaves the event loop its turns', async () => {
  const [one, other] = pair();
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  const until = Date.now() + 300;
  const writer = (async () => {
    while (Date.now() < until) await one.send(Buffer.alloc(1024));
    one.close();
  })();
  for (let segment: Segment | undefined; (segment = await other.receive()); ) assert.ok(segment.bytes.length > 0);
  await writer;
  clearInterval(timer);
  other.close();
  assert.ok(timers > 3, `${timers} timer calls in 300 ms`);
});

test('what is not a connected Unix socket is refused and stays with its owner', () => {
  using fd = devNull();
  assert.throws(() => fromFd(fd), { code: 'NOT_A_SOCKET' });
  assert.equal(fd.closed, false);
});

test('a waiting socket keeps the process alive, an idle one does not', async () => {
  const module = new URL('../../src/fd/fd-passing.js', import.meta.url).href;
  const run = async (code: string): Promise<number | null> => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { socketpair, fromFd } from '${module}';
      const [a, b] = socketpair(); const one = fromFd(a), two = fromFd(b); ${code}`,
      ],
      { stdio: 'inherit' },
    );
    const timer = setTimeout(() => child.kill(), 3000);
    const [status] = (await once(child, 'exit')) as [number | null];
    clearTimeout(timer);
    return status;
  };
  assert.equal(await run(''), 0);
  assert.equal(
    await run(
      'one.receive().then(() => process.exit(7)); setTimeout(() => two.send(Buffer.from("x")), 20).unref(); ' +
        'one.send(Buffer.from("y"))',
    ),
    7,
  );
});
