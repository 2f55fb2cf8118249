import { randomUUID } from 'node:crypto';
import { constants, write } from 'node:fs';
import { promisify } from 'node:util';
import { bytesOf } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { openPath, type Fd } from '../../fd/fd.js';
import { files } from '../../native.js';
import { decompress, detectCompression, MAGIC_LENGTH } from './decompress.js';
import { ImageFile } from './image-files.js';

const writeAt = promisify(write);

/**
 * Makes a compressed archive readable at any place: decompresses it into a file without a name, in TMPDIR or `/var/tmp`.
 * One that is not compressed is returned as it is.
 * @param archive open at its beginning; owned by the result, and closed when that is a copy
 * @throws FormatError `COMPRESSION`; BridgeError `NO_SPACE` when the copy does not fit
 */
export async function decompressedArchive(archive: Fd, signal?: AbortSignal): Promise<Fd> {
  const { size } = archive.stat();
  const compression = detectCompression(head(archive, size));
  if (compression === 'none') return archive;
  const folder = process.env['TMPDIR'] || '/var/tmp';
  using copy = namelessFile(folder);
  await using content = decompress(new ImageFile(archive.duplicate(), 0, size).source(), compression);
  let position = 0;
  for await (const piece of content) {
    signal?.throwIfAborted();
    position += await writeAll(copy, piece, position, folder);
  }
  archive.close();
  return copy.move();
}

function head(archive: Fd, size: number): Buffer {
  using file = new ImageFile(archive.duplicate(), 0, size);
  return file.head(MAGIC_LENGTH);
}

function namelessFile(folder: string): Fd {
  const path = bytesOf(`${folder}/.cfsbridge-${randomUUID()}`);
  using fd = openPath(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  using dir = openPath(bytesOf(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  files.unlinkat(dir.number, path.slice(path.lastIndexOf('/') + 1), 0);
  return fd.move();
}

async function writeAll(fd: Fd, piece: Buffer, position: number, folder: string): Promise<number> {
  for (let done = 0; done < piece.length; ) {
    try {
      done += (await writeAt(fd.number, piece, done, piece.length - done, position + done)).bytesWritten;
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT' || cause.code === 'EFBIG'))) throw cause;
      throw new BridgeError('NO_SPACE', `a compressed archive has to be decompressed first, which does not fit into ${folder}; set TMPDIR to a larger file system`, { cause });
    }
  }
  return piece.length;
}
