import { read } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { FormatError } from '../errors.js';
import type { Fd } from './fd.js';

/** Bytes in order, in pieces of any length. Disposing ends a read that waits, and closes whatever is read from. */
export interface ByteSource extends AsyncIterable<Buffer>, AsyncDisposable {}

/** Large enough that the cost per piece does not count, small enough to stay in a processor's cache. */
const PIECE_SIZE = 256 * 1024;

/** Bytes that are in memory. */
export function bytesSource(bytes: Buffer): ByteSource {
  return {
    async *[Symbol.asyncIterator]() {
      if (bytes.length > 0) yield bytes;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;

const readAt = promisify(read);

/**
 * Reads an open regular file from its start, or a pipe or stream socket to its end. Takes ownership of `fd`.
 * @throws FormatError when it is something else (a directory or device in its place would never end)
 */
export function sourceFromFd(fd: Fd): ByteSource {
  try {
    const type = fd.stat().mode & S_IFMT;
    if (type === S_IFREG) return new FileSource(fd);
    if (type === S_IFIFO || type === S_IFSOCK) return new PipeSource(fd);
    throw new FormatError('STREAM_SOURCE', 'the descriptor to read from is neither a file nor a pipe');
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** A file of known size; positions are given, since the descriptor's own one is shared with whoever sent it. */
class FileSource implements ByteSource {
  readonly #fd: Fd;
  #pending: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(fd: Fd) {
    this.#fd = fd;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { size } = this.#fd.stat();
    for (let position = 0; !this.#disposed; ) {
      // One byte more than the file has tells its end.
      const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, Math.max(size - position, 1)));
      const pending = readAt(this.#fd.number, buffer, 0, buffer.length, position);
      this.#pending = pending;
      const { bytesRead } = await pending;
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    // A descriptor number that is closed under a running read may already mean another file.
    await this.#pending.catch(() => undefined);
    this.#fd.close();
  }
}

/** A pipe waits in the event loop and not in a thread of the pool, which a silent peer could otherwise use up. */
class PipeSource implements ByteSource {
  readonly #socket: Socket;

  constructor(fd: Fd) {
    try {
      this.#socket = new Socket({ fd: fd.number, readable: true, writable: false });
    } catch (cause) {
      throw new FormatError(
        'STREAM_SOURCE',
        `the descriptor to read from cannot be read as a stream: ${(cause as Error).message}`,
        { cause },
      );
    }
    fd.take();
    // Errors reach the reader through the iterator; one that comes while nobody reads must not end the process.
    this.#socket.on('error', () => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    for await (const piece of this.#socket) yield piece as Buffer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.closed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.destroy();
    await closed;
  }
}
