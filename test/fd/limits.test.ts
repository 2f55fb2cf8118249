// Limits, peers that vanish, and operations that are given up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fd, listen } from '../../src/fd/fd-passing.js';
import { closeAll, devNull, errorCode, newPath, pair, peer } from './ends.js';
import { openFds, withoutLeak } from '../support/open-fds.js';

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
test('a user at the limit of descriptors in flight waits until some are taken', {
  skip: root ? false : 'needs root, to become a user whose limit counts',
}, async () => {
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

test('what the peer sent before it went away can be read after a send failed halfway', async () => {
  const [one, other] = pair();
  const sending = errorCode(one.send(Buffer.alloc(1_000_000)));
  await other.send(Buffer.from('too long'));
  for (let taken = 0; taken < 100_000; ) taken += (await other.receive())!.bytes.length;
  other.close();
  assert.equal(await sending, 'PEER_GONE');
  assert.equal((await one.receive())!.bytes.toString(), 'too long');
  one.close();
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
