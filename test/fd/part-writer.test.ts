import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  constants,
  createReadStream,
  mkdirSync,
  read as readCallback,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { bytesOf } from '../../src/bytes.js';
import { Fd, openPath } from '../../src/fd/fd.js';
import { PartWriter } from '../../src/fd/part-writer.js';
import { files } from '../../src/native.js';
import { openDescriptors, TemporaryFolder } from '../support/filesystems.js';

const SIZES = [0, 1, 4096, 65_535, 65_536, 65_537, 262_144, 262_145, 3_000_001];
const { O_APPEND, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC } = constants;

describe('parts written one after the other', () => {
  const folder = new TemporaryFolder();
  const contents = SIZES.map((size) => randomBytes(size));
  let dir: Fd;
  let descriptors: number;
  before(() => {
    descriptors = openDescriptors();
    mkdirSync(join(folder.path, 'd'));
    SIZES.forEach((size, index) => writeFileSync(join(folder.path, 'd', String(size)), contents[index] as Buffer));
    dir = openPath(bytesOf(join(folder.path, 'd')), O_RDONLY | O_DIRECTORY);
  });
  after(() => {
    dir.close();
    assert.equal(openDescriptors(), descriptors);
    folder[Symbol.dispose]();
  });

  const output = (flags: number): Fd => openPath(bytesOf(join(folder.path, 'out')), O_RDWR | O_CREAT | flags, 0o600);
  const written = (): Buffer => readFileSync(join(folder.path, 'out'));

  /** Every file by name and open, between runs of bytes. */
  async function writeAll(parts: PartWriter): Promise<Buffer> {
    const expected: Buffer[] = [];
    for (let turn = 0; turn < 40; turn++) {
      for (const [index, size] of SIZES.entries()) {
        if (size > 1e6 && turn > 1) continue;
        const bytes = randomBytes(((turn * 7919) % 300_000) >> (index % 9));
        parts.bytes(bytes);
        parts.named(dir, String(size), index % 2 === 0 ? size : undefined);
        parts.open(openPath(bytesOf(join(folder.path, 'd', String(size)))), index % 3 === 0 ? size : undefined);
        expected.push(bytes, contents[index] as Buffer, contents[index] as Buffer);
        await parts.pause();
      }
    }
    const all = Buffer.concat(expected);
    assert.equal(await parts.end(), all.length);
    return all;
  }

  it('to a file', async () => {
    using out = output(O_TRUNC);
    await using parts = new PartWriter(out.number);
    assert.ok((await writeAll(parts)).equals(written()));
  });

  it('to a file that is only added to', async () => {
    writeFileSync(join(folder.path, 'out'), 'before');
    using out = output(O_APPEND);
    await using parts = new PartWriter(out.number);
    assert.ok(Buffer.concat([Buffer.from('before'), await writeAll(parts)]).equals(written()));
  });

  it('to a place in a file, whose descriptor stays where it is', async () => {
    writeFileSync(join(folder.path, 'out'), Buffer.alloc(5));
    using out = output(0);
    await using parts = new PartWriter(out.number, { position: 3 });
    const all = await writeAll(parts);
    assert.ok(Buffer.concat([Buffer.alloc(3), all]).equals(written()));
    assert.match(readFileSync(`/proc/self/fdinfo/${out.number}`, 'latin1'), /^pos:\t0$/m);
  });

  it('to a pipe with a slow reader, which is left as it was', async () => {
    const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
    const flags = (): string => readFileSync(`/proc/self/fdinfo/${write.number}`, 'latin1').split('\n')[1] as string;
    const before = flags();
    const received = new Promise<Buffer>((resolve) => {
      const pieces: Buffer[] = [];
      const socket = new Socket({ fd: read.take(), writable: false });
      socket.on('data', (piece: Buffer) => {
        pieces.push(piece);
        if (pieces.length % 50 !== 0) return;
        socket.pause();
        void setTimeout(2).then(() => socket.resume());
      });
      socket.on('close', () => resolve(Buffer.concat(pieces)));
    });
    let all: Buffer;
    {
      await using parts = new PartWriter(write.number);
      all = await writeAll(parts);
    }
    assert.equal(flags(), before);
    write.close();
    assert.ok((await received).equals(all));
  });

  it('says which file is not what it should be, and closes those behind it', async () => {
    execFileSync('mkfifo', [join(folder.path, 'd', 'fifo')]);
    symlinkSync('1', join(folder.path, 'd', 'link'));
    writeFileSync(join(folder.path, 'outside'), 'secret');
    using out = output(O_TRUNC);
    for (const [name, size, code] of [
      ['fifo', undefined, 'NOT_A_FILE'],
      ['link', undefined, 'ELOOP'],
      ['../outside', undefined, 'EXDEV'],
      ['missing', undefined, 'ENOENT'],
      ['4096', 4095, 'CONTENT_SIZE'],
      ['.', undefined, 'NOT_A_FILE'],
    ] as const) {
      await using parts = new PartWriter(out.number);
      parts.bytes(Buffer.from('bytes'));
      parts.named(dir, '1', 1);
      parts.named(dir, name, size);
      parts.open(openPath(bytesOf(join(folder.path, 'd', '1'))));
      await assert.rejects(parts.end(), { name: 'PartFailure', code, entry: name });
      parts.open(openPath(bytesOf(join(folder.path, 'd', '1'))));
    }
  });

  it("says when the output fails, which is no file's fault", async () => {
    for (const content of ['4096', '3000001']) {
      using full = openPath(bytesOf('/dev/full'), O_RDWR);
      await using parts = new PartWriter(full.number);
      parts.named(dir, content);
      await assert.rejects(parts.end(), { code: 'ENOSPC', entry: undefined });

      const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
      read.close();
      using closed = write;
      await using more = new PartWriter(closed.number);
      more.named(dir, content);
      await assert.rejects(more.end(), { code: 'EPIPE', entry: undefined });
    }
  });

  it('notices a file that shrinks while it is sent', async () => {
    const path = join(folder.path, 'd', 'shrinking');
    writeFileSync(path, Buffer.alloc(4 << 20));
    const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
    using reader = read;
    using writer = write;
    await using parts = new PartWriter(writer.number);
    parts.named(dir, 'shrinking');
    const end = parts.end();
    end.catch(() => undefined);
    // It has begun, and cannot get further than the pipe is long.
    await promisify(readCallback)(reader.number, Buffer.alloc(1), 0, 1, null);
    truncateSync(path, 100_000);
    const stream = createReadStream('', { fd: reader.duplicate().take() });
    stream.resume();
    await assert.rejects(end, { code: 'CONTENT_SIZE', entry: 'shrinking' });
    // Otherwise the stream's last read, which waits for more, would last forever.
    writer.close();
    stream.destroy();
    await once(stream, 'close');
  });

  for (const content of ['1', '3000001']) {
    it(`stops when it is told to, while nobody reads (file of ${content} bytes)`, async () => {
      const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
      using _reader = read;
      using writer = write;
      const stop = new AbortController();
      await using parts = new PartWriter(writer.number, { signal: stop.signal });
      parts.bytes(Buffer.alloc(200_000));
      parts.named(dir, content);
      const end = parts.end();
      await setTimeout(50);
      stop.abort(new RangeError('enough'));
      await assert.rejects(end, { message: 'enough' });
    });
  }
});
