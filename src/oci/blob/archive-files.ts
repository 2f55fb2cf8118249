import { constants } from 'node:fs';
import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { FormatError, NotFoundError } from '../../errors.js';
import { isErrno, openPath, type Fd } from '../../fd/fd.js';
import { CONTENT_FLAGS } from '../../layer/content.js';
import { decompressedArchive } from './archive-copy.js';
import { normalize, readMembers, type Member } from './archive-members.js';
import { checkRegular, ImageFile, type ImageFiles } from './image-files.js';

/** Docker made archives in which equal layers are symlinks to each other. */
const MAX_LINKS = 8;

/**
 * An image's files in a tar. The tar's headers are read once, content is read where it lies. A compressed tar is decompressed
 * into a file without a name first.
 */
export class ArchiveFiles implements ImageFiles {
  readonly #fd: Fd;
  readonly #members: ReadonlyMap<ByteString, Member>;

  /**
   * @param path of the tar
   * @throws NotFoundError; FormatError for what is no tar
   */
  static async open(path: string, signal?: AbortSignal): Promise<ArchiveFiles> {
    let fd = openArchive(path);
    try {
      fd = await decompressedArchive(fd, signal);
      return new ArchiveFiles(path, fd, await readMembers(fd, signal));
    } catch (error) {
      fd.close();
      throw error instanceof FormatError ? new FormatError(error.code, `${path}: ${error.message}`, { cause: error }) : error;
    }
  }

  private constructor(
    readonly shown: string,
    fd: Fd,
    members: ReadonlyMap<ByteString, Member>,
  ) {
    this.#fd = fd;
    this.#members = members;
  }

  open(name: ByteString): ImageFile | undefined {
    let member = this.#members.get(normalize(name) ?? '');
    for (let links = 0; member?.kind === 'link'; links++) {
      if (links === MAX_LINKS) throw new FormatError('SYMLINK', `${showBytes(name)} in ${this.shown} is a chain of more than ${MAX_LINKS} links`);
      member = this.#members.get(member.to);
    }
    return member && new ImageFile(this.#fd.duplicate(), member.start, member.size);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function openArchive(path: string): Fd {
  let fd: Fd;
  try {
    fd = openPath(bytesOf(path), CONTENT_FLAGS | constants.O_RDONLY);
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
