import type { Abortable } from '../../../abortable.js';
import { constants } from 'node:fs';
import { bytesOf, showBytes, type ByteString } from '../../../bytes.js';
import { FormatError, NotFoundError } from '../../../errors.js';
import { openBelievedFile } from '../../../fd/believed-path.js';
import { isErrno, type Fd } from '../../../fd/fd.js';
import { CONTENT_FLAGS } from '../../../layer/content.js';
import { ARCHIVE_LINKS_LIMIT } from '../../../limits.js';
import { decompressedArchive } from './archive-copy.js';
import { namelessCopy, type CopyOptions } from './nameless-copy.js';
import { normalize, readMembers, type Member } from './archive-members.js';
import { checkRegular, ImageFile, isOnlyOurs, type ImageFiles } from './image-files.js';

export interface ReceiveOptions extends CopyOptions {
  /** what to call it in messages */
  shown: string;
}

/**
 * An image's files in a tar. The tar's headers are read once, content is read where it lies. A compressed tar is
 * decompressed into a file without a name first.
 */
export class ArchiveFiles implements ImageFiles {
  readonly #fd: Fd;
  readonly #members: ReadonlyMap<ByteString, Member>;

  /**
   * @param path of the tar
   * @throws NotFoundError; FormatError for what is not a tar
   */
  static async open(path: string, { signal }: Abortable = {}): Promise<ArchiveFiles> {
    let fd = openArchive(path);
    try {
      const trusted = isOnlyOurs(fd);
      fd = await decompressedArchive(fd, signal);
      return new ArchiveFiles(path, trusted, fd, await readMembers(fd, signal));
    } catch (error) {
      fd.close();
      throw withName(error, path);
    }
  }

  /**
   * The same for a tar that comes as a stream, by way of a file without a name. Nobody else can write that, so it is
   * trusted.
   * @param tar stays the caller's
   * @throws FormatError for what is not a tar; BridgeError `NO_SPACE`
   */
  static async received(tar: AsyncIterable<Buffer>, { shown, ...how }: ReceiveOptions): Promise<ArchiveFiles> {
    const fd = await namelessCopy(tar, how);
    try {
      return new ArchiveFiles(shown, true, fd, await readMembers(fd, how.signal));
    } catch (error) {
      fd.close();
      throw withName(error, shown);
    }
  }

  private constructor(
    readonly shown: string,
    readonly trusted: boolean,
    fd: Fd,
    members: ReadonlyMap<ByteString, Member>,
  ) {
    this.#fd = fd;
    this.#members = members;
  }

  open(name: ByteString): ImageFile | undefined {
    let member = this.#members.get(normalize(name) ?? '');
    for (let links = 0; member?.kind === 'link'; links++) {
      if (links === ARCHIVE_LINKS_LIMIT)
        throw new FormatError(
          'SYMLINK',
          `${showBytes(name)} in ${this.shown} is a chain of more than ${ARCHIVE_LINKS_LIMIT} links`,
        );
      member = this.#members.get(member.to);
    }
    return member && new ImageFile(this.#fd.duplicate(), member.start, member.size);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function withName(error: unknown, archive: string): unknown {
  return error instanceof FormatError
    ? new FormatError(error.code, `${archive}: ${error.message}`, { cause: error })
    : error;
}

function openArchive(path: string): Fd {
  let fd: Fd;
  try {
    fd = openBelievedFile(bytesOf(path), CONTENT_FLAGS | constants.O_RDONLY);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw new NotFoundError(`there is no file ${path}`, { cause: error });
    throw error;
  }
  try {
    checkRegular(fd, `${path} is no archive: it`);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}
