import { constants, read } from 'node:fs';
import { promisify } from 'node:util';
import { showBytes } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { pause } from '../fd/readiness.js';
import { LEASE_PAUSE, LEASE_WAIT } from '../limits.js';
import type { FdChunk, NamedChunk } from './stream.js';

/** Opening a pipe that somebody put in a file's place must not wait for its other end. */
export const CONTENT_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const PIECE_SIZE = 256 * 1024;

const readAt = promisify(read);

/**
 * Checks that a descriptor is a regular file, and of `size` bytes where that is known.
 * @returns its size in bytes
 * @throws FormatError; reading from anything else could wait forever or never end
 */
export function checkContent(fd: Fd, size?: number, offset?: number): number {
  const stat = fd.stat();
  const place = offset === undefined ? {} : { offset };
  if ((stat.mode & S_IFMT) !== S_IFREG)
    throw new FormatError('CONTENT_TYPE', 'what stands for file content is not a regular file', { place });
  if (size !== undefined && stat.size !== size)
    throw new FormatError('CONTENT_SIZE', `file content of ${stat.size} bytes where ${size} were announced`, { place });
  return stat.size;
}

/**
 * Opens the file of a chunk and checks it. The chunk's own descriptor moves into the result.
 * @throws FormatError when the file is not what the chunk says; an error with `code` when it cannot be opened
 */
export async function openContent(chunk: FdChunk | NamedChunk): Promise<Fd> {
  const fd = chunk.kind === 'fd' ? chunk.fd.move() : (openNow(chunk) ?? (await openWhenFree(chunk)));
  try {
    checkContent(fd, chunk.size);
    return fd;
  } catch (cause) {
    fd.close();
    if (chunk.kind === 'fd' || !(cause instanceof FormatError)) throw cause;
    throw new FormatError(cause.code, cause.message, { cause, place: { entry: showBytes(chunk.name) } });
  }
}

/** @returns undefined while another process has a lease on the file, which the kernel then asks back */
function openNow({ dir, name }: NamedChunk): Fd | undefined {
  try {
    return openBeneath(dir, name, CONTENT_FLAGS);
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return undefined;
    throw error;
  }
}

/**
 * A lease is waited for here and not in the call: its holder would otherwise stop everybody whom this process serves.
 */
async function openWhenFree(chunk: NamedChunk): Promise<Fd> {
  for (const deadline = performance.now() + LEASE_WAIT; performance.now() < deadline; ) {
    await pause(LEASE_PAUSE);
    const fd = openNow(chunk);
    if (fd !== undefined) return fd;
  }
  throw new BridgeError('LEASED', 'another process keeps a lease on the file and does not give it back', {
    place: { entry: showBytes(chunk.name) },
  });
}

/** The content of a chunk in pieces of bounded length. Opens it and closes it. Throws as openContent does. */
export async function* readChunk(chunk: FdChunk | NamedChunk): AsyncGenerator<Buffer, void, void> {
  using fd = await openContent(chunk);
  for (let position = 0; position < chunk.size; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, chunk.size - position));
    const { bytesRead } = await readAt(fd.number, buffer, 0, buffer.length, position);
    if (bytesRead === 0)
      throw new FormatError(
        'CONTENT_SIZE',
        `a file became shorter while it was read; ${chunk.size} bytes were announced`,
      );
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
