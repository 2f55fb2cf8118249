import { accessSync, constants, readSync } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import type * as z from 'zod';
import type { ForeignOwner } from './foreign-store.js';

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** A folder of a store, and whose files below it are read only as far as they could. */
export interface StoreFolder {
  dir: Fd;
  owner: ForeignOwner | undefined;
}

/**
 * Reads a small file of the store whole.
 * @param limit most bytes it may have
 * @returns undefined when it does not exist
 * @throws FormatError `FILE_TOO_LARGE`, `NOT_A_FILE`; BridgeError `NO_PERMISSION`, `FOREIGN_FILE`
 */
export function readStoreFile(folder: StoreFolder, path: ByteString, limit: number): Buffer | undefined {
  using fd = openFile(folder, path);
  if (!fd) return undefined;
  const { size } = fd.stat();
  if (size > limit) throw new FormatError('FILE_TOO_LARGE', `${showBytes(path)} has ${size} bytes, more than ${limit}`);
  const buffer = Buffer.allocUnsafe(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd.number, buffer, length, size - length, length);
    if (count === 0) break;
    length += count;
  }
  return buffer.subarray(0, length);
}

/**
 * Opens a regular file below a folder for reading, without symlinks; undefined when it does not exist.
 * @throws FormatError `NOT_A_FILE`; BridgeError `NO_PERMISSION`, `FOREIGN_FILE`
 */
export function openFile({ dir, owner }: StoreFolder, path: ByteString): Fd | undefined {
  // Without O_NONBLOCK a planted fifo would block the process.
  using fd = openIfThere(dir, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  if (!fd) return undefined;
  if ((fd.stat().mode & S_IFMT) !== S_IFREG)
    throw new FormatError('NOT_A_FILE', `${showBytes(path)} is not a regular file`);
  owner?.checkFile(dir, path, fd);
  return fd.move();
}

function openIfThere(dir: Fd, path: ByteString, flags: number): Fd | undefined {
  try {
    return openBeneath(dir, path, flags);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'EAGAIN'))
      throw new BridgeError(
        'LEASED',
        `another process keeps a lease on ${showBytes(path)}; try again when it is done`,
        { cause: error },
      );
    throw isErrno(error, 'EACCES') ? noPermission(path, error) : error;
  }
}

/**
 * The error for a store that belongs to somebody else, with what to do about it.
 * @param path of what was to be read; of an absolute one it is looked which folder above forbids it
 */
export function noPermission(path: ByteString, cause: unknown): BridgeError {
  const closed = path.startsWith('/') ? closedFolder(path) : undefined;
  const why = closed === undefined ? '' : `this user may not search ${showBytes(closed)}: `;
  return new BridgeError(
    'NO_PERMISSION',
    `not allowed to read ${showBytes(path)}; ${why}run as the user who owns the store`,
    { cause },
  );
}

function closedFolder(path: ByteString): ByteString | undefined {
  const names = path.split('/').slice(0, -1);
  const above = names.map((_, index) => names.slice(0, index + 1).join('/') || '/');
  return above.find((folder) => {
    try {
      accessSync(Buffer.from(folder, 'latin1'), constants.X_OK);
      return false;
    } catch (error) {
      return isErrno(error, 'EACCES');
    }
  });
}

/** Parses JSON text and checks its shape. @throws FormatError `BAD_JSON` naming `what` */
export function parseJson<T extends z.ZodType>(bytes: Buffer, schema: T, what: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new FormatError('BAD_JSON', `${what} is not JSON`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new FormatError('BAD_JSON', `${what}: ${issue?.path.join('.')}: ${issue?.message}`, { cause: result.error });
}
