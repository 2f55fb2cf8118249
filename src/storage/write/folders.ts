import { constants } from 'node:fs';
import { bytesOf, type ByteString } from '../../bytes.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { openFolderByOwnLinks } from '../../fd/own-links.js';
import { files } from '../../native.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** The folders of a store of the overlay driver. */
export class StoreFolders implements Disposable {
  private constructor(
    /** where it is, for messages */
    readonly graphroot: string,
    readonly root: Fd,
    /** `overlay`: what layers consist of */
    readonly trees: Fd,
    /** `overlay/l`: short names of layers */
    readonly links: Fd,
    /** `overlay-layers`: what is known of layers */
    readonly layers: Fd,
    /** `overlay-images` */
    readonly images: Fd,
    /** `overlay-containers` */
    readonly containers: Fd,
  ) {}

  /**
   * @param graphroot absolute path
   * @throws BridgeError `FOREIGN_SYMLINK`; an error with `code`, ENOENT for one that was never used
   */
  static open(graphroot: string): StoreFolders {
    using root = openFolderByOwnLinks(bytesOf(graphroot));
    using trees = openFolderByOwnLinks('overlay', root);
    using links = openFolderByOwnLinks('l', trees);
    using layers = openFolderByOwnLinks('overlay-layers', root);
    using images = openFolderByOwnLinks('overlay-images', root);
    using containers = openFolderByOwnLinks('overlay-containers', root);
    return new StoreFolders(
      graphroot,
      root.move(),
      trees.move(),
      links.move(),
      layers.move(),
      images.move(),
      containers.move(),
    );
  }

  /** Moves ownership into a new object, for handing on from a `using` block. */
  move(): StoreFolders {
    const { graphroot, root, trees, links, layers, images, containers } = this;
    return new StoreFolders(
      graphroot,
      root.move(),
      trees.move(),
      links.move(),
      layers.move(),
      images.move(),
      containers.move(),
    );
  }

  /** All of them. */
  get all(): readonly Fd[] {
    return [this.root, this.trees, this.links, this.layers, this.images, this.containers];
  }

  [Symbol.dispose](): void {
    for (const fd of this.all) fd.close();
  }
}

/**
 * Makes a folder and opens it.
 * @param mode less the umask
 * @throws an error with `code` of the system
 */
export function makeFolder(above: Fd, name: ByteString, mode: number): Fd {
  files.mkdirat(above.number, name, mode);
  return openBeneath(above, name, DIRECTORY);
}

/** The same for one that may be there. */
export function openOrMakeFolder(above: Fd, name: ByteString, mode: number): Fd {
  try {
    files.mkdirat(above.number, name, mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  return openBeneath(above, name, DIRECTORY);
}

/** Whether there is something of this name, whatever it is. */
export function isThere(dir: Fd, name: ByteString): boolean {
  try {
    files.fstatat(dir.number, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
