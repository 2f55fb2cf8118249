import { randomUUID } from 'node:crypto';
import { constants, statfsSync } from 'node:fs';
import type { Abortable } from '../../../abortable.js';
import { bytesOf } from '../../../bytes.js';
import { BridgeError } from '../../../errors.js';
import { isErrno, openPath, type Fd } from '../../../fd/fd.js';
import { writeAll } from '../../../fd/write-all.js';
import { files } from '../../../native.js';

export interface CopyOptions extends Abortable {
  /** what the copy is needed for: the first half of a sentence */
  why: string;
  /** most bytes; default: as many as there is room for */
  limit?: number | undefined;
}

/**
 * A file without a name, in TMPDIR or `/var/tmp`, with all that comes out of a stream.
 * @param content stays the caller's
 * @throws BridgeError `NO_SPACE` when it does not fit; what `content` throws
 */
export async function namelessCopy(content: AsyncIterable<Buffer>, { why, limit, signal }: CopyOptions): Promise<Fd> {
  const folder = temporaryFolder();
  const noSpace = (options?: ErrorOptions): BridgeError =>
    new BridgeError(
      'NO_SPACE',
      `${why}, which does not fit into ${folder}; set TMPDIR to a larger file system`,
      options,
    );
  using copy = namelessFile(folder);
  let position = 0;
  for await (const piece of content) {
    signal?.throwIfAborted();
    if (limit !== undefined && position + piece.length > limit) throw noSpace();
    try {
      position += await writeAll(copy, piece, position);
    } catch (cause) {
      throw isErrno(cause, 'ENOSPC', 'EDQUOT', 'EFBIG') ? noSpace({ cause }) : cause;
    }
  }
  return copy.move();
}

/** Bytes that a copy whose length nobody knows may have: all but a tenth of the free space, which others may need. */
export function roomForCopy(): number {
  const { bavail, bsize } = statfsSync(temporaryFolder());
  return Math.floor(bavail * bsize * 0.9);
}

function temporaryFolder(): string {
  return process.env['TMPDIR'] || '/var/tmp';
}

/** A new file without a name, for reading and writing. @param folder default: TMPDIR or `/var/tmp` */
export function namelessFile(folder = temporaryFolder()): Fd {
  const path = bytesOf(`${folder}/.cfsbridge-${randomUUID()}`);
  using fd = openPath(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  using dir = openPath(bytesOf(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  files.unlinkat(dir.number, path.slice(path.lastIndexOf('/') + 1), 0);
  return fd.move();
}
