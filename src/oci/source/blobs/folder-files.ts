import { bytesOf, showBytes, type ByteString } from '../../../bytes.js';
import { FormatError, NotFoundError } from '../../../errors.js';
import { openBelievedDirectory } from '../../../fd/believed-path.js';
import { isErrno, openBeneath, type Fd } from '../../../fd/fd.js';
import { CONTENT_FLAGS } from '../../../layer/content.js';
import { checkRegular, ImageFile, isOnlyOurs, type ImageFiles } from './image-files.js';

/** An image's files in a folder. Symlinks below the folder are not followed: they could lead anywhere. */
export class FolderFiles implements ImageFiles {
  readonly trusted: boolean;
  readonly #dir: Fd;

  /** @throws NotFoundError when there is no such folder */
  static open(path: string): FolderFiles {
    try {
      return new FolderFiles(path, openBelievedDirectory(bytesOf(path)));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw new NotFoundError(`there is no folder ${path}`, { cause: error });
      throw error;
    }
  }

  private constructor(
    readonly shown: string,
    dir: Fd,
  ) {
    this.trusted = isOnlyOurs(dir);
    this.#dir = dir;
  }

  open(name: ByteString): ImageFile | undefined {
    let fd: Fd;
    try {
      fd = openBeneath(this.#dir, name, CONTENT_FLAGS);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      if (isErrno(error, 'ELOOP'))
        throw new FormatError('SYMLINK', `${showBytes(name)} in ${this.shown} is a symlink or behind one`, {
          cause: error,
        });
      throw error;
    }
    try {
      return new ImageFile(fd, 0, checkRegular(fd, `${showBytes(name)} in ${this.shown}`));
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#dir.close();
  }
}
