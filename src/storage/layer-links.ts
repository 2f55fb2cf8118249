import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import type { TarEntry } from '../layer/entry.js';
import { followLinks } from '../layer/follow-links.js';
import { BLOCK_SIZE, extensionSize, headerType, linkNames, TYPE_OFFSET } from '../layer/tar-header.js';
import { TarScanner } from '../layer/tar-scanner.js';
import { files } from '../native.js';
import { cleanName } from './tar-split.js';

interface Place {
  /** set for a symlink */
  target?: ByteString | undefined;
  below?: Map<ByteString, Place> | undefined;
}

/** Where a path has led so far: what the layer's tar says of it, and its name below the layer's directory. */
interface Step {
  own: Place | undefined;
  path: ByteString;
}

/** `0`, the type of nearly all headers. */
const FILE = 0x30;
const O_PATH = 0o10000000;

/**
 * The symlinks of a layer so far. A store unpacks a tar in order, so after `lib -> usr/lib` the content of
 * `lib/plugin.so` is that of the file `usr/lib/plugin.so`. Where that is comes from the tar's own headers. The vfs
 * driver unpacks a layer over a copy of those below, so that their symlinks lead on as well: these are read from the
 * disk. Either way the name found is opened without following any.
 */
export class LayerLinks {
  readonly #layer: string;
  readonly #copy: Fd | undefined;
  readonly #root: Place = {};
  /** Files come directory by directory. */
  #parent: ByteString | undefined;
  #resolved = '';

  /**
   * @param layer for error messages
   * @param copy the layer's directory, where that has the files of the layers below as well
   */
  constructor(layer: string, copy?: Fd) {
    this.#layer = layer;
    this.#copy = copy;
  }

  /**
   * Looks through the bytes between the content of two files. Headers of files are passed over: this runs beside an
   * importer, which reads all of them and complains of what is wrong with them.
   * @param offset where the bytes begin in the tar; an entry has to begin in them
   */
  headers(bytes: Buffer, from: number, to: number, offset: number): void {
    let start = from + ((BLOCK_SIZE - (offset % BLOCK_SIZE)) % BLOCK_SIZE);
    for (let at = start; at + BLOCK_SIZE <= to; ) {
      const isFile = bytes[at + TYPE_OFFSET] === FILE;
      const extension = isFile ? undefined : extensionSize(bytes, at);
      if (extension === undefined) {
        if (!isFile) this.#header(bytes, start, at);
        at += BLOCK_SIZE;
        start = at;
      } else {
        at += BLOCK_SIZE + Math.ceil(extension / BLOCK_SIZE) * BLOCK_SIZE;
      }
    }
  }

  /**
   * Where the content of a file lies.
   * @param name clean name in the tar
   * @throws FormatError `LAYER_PARENT`
   */
  resolve(name: ByteString): ByteString {
    if (this.#root.below === undefined && this.#copy === undefined) return name;
    const slash = name.lastIndexOf('/');
    if (slash < 0) return name;
    if (slash !== this.#parent?.length || !name.startsWith(this.#parent)) {
      const parent = name.slice(0, slash);
      this.#resolved = this.#follow(parent);
      this.#parent = parent;
    }
    if (this.#resolved === this.#parent) return name;
    return this.#resolved === '' ? name.slice(slash + 1) : `${this.#resolved}${name.slice(slash)}`;
  }

  #header(bytes: Buffer, start: number, at: number): void {
    const type = headerType(bytes, at);
    // Hard links and folders matter only where they are to a symlink, or in its place.
    if (type !== '2' && ((type !== '1' && type !== '5') || this.#root.below === undefined)) return;
    if (start === at) {
      const { path, linkPath } = linkNames(bytes, at);
      this.#entry(type, path, linkPath);
      return;
    }
    // PAX and GNU records say the names.
    const take = ({ type, path, linkPath }: TarEntry): void =>
      this.#entry(type === 'symlink' ? '2' : type === 'hardlink' ? '1' : '5', path, linkPath);
    const nothing = (): void => {};
    const scanner = new TarScanner({
      entry: take,
      inline: nothing,
      smallContent: nothing,
      content: nothing,
      reference: nothing,
    });
    try {
      scanner.bytes(bytes.subarray(start, at + BLOCK_SIZE));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }

  #entry(type: string, path: ByteString, linkPath: ByteString): void {
    const name = this.resolve(cleanName(path));
    const target =
      type === '2' ? linkPath : type === '1' ? this.#find(this.resolve(cleanName(linkPath)))?.target : undefined;
    if (name === '') return;
    if (target === undefined) {
      const there = this.#find(name);
      if (there?.target === undefined) return;
      // A folder, or a file, in a symlink's place.
      there.target = undefined;
    } else {
      let place = this.#root;
      const names = name.split('/');
      const last = names.pop() as ByteString;
      for (const component of names) {
        const next: Place = place.below?.get(component) ?? {};
        (place.below ??= new Map()).set(component, next);
        place = next;
      }
      (place.below ??= new Map()).set(last, { target });
    }
    if (this.#parent !== this.#resolved || `${this.#parent}/`.startsWith(`${name}/`)) this.#parent = undefined;
  }

  #find(path: ByteString): Place | undefined {
    let place: Place | undefined = this.#root;
    for (const name of path.split('/')) {
      place = place.below?.get(name);
      if (place === undefined) return undefined;
    }
    return place;
  }

  #follow(path: ByteString): ByteString {
    const names = path.split('/');
    if (!this.#hasLink(names) && !this.#leadsThroughLink(path)) return path;
    const followed = followLinks<Step>(names, { own: this.#root, path: '' }, (at, name) => {
      if (at === undefined) return undefined;
      const own = at.own?.below?.get(name);
      const next = at.path === '' ? name : `${at.path}/${name}`;
      return own?.target ?? this.#copiedLink(next) ?? { own, path: next };
    });
    if (followed !== undefined) return followed.names.join('/');
    throw new FormatError('LAYER_PARENT', 'there are more symlinks in a path than are followed', {
      place: { layer: this.#layer, entry: showBytes(path) },
    });
  }

  #hasLink(names: readonly ByteString[]): boolean {
    let place: Place | undefined = this.#root;
    for (const name of names) {
      place = place.below?.get(name);
      if (place === undefined) return false;
      if (place.target !== undefined) return true;
    }
    return false;
  }

  #leadsThroughLink(path: ByteString): boolean {
    if (this.#copy === undefined) return false;
    try {
      openBeneath(this.#copy, path, O_PATH | constants.O_DIRECTORY).close();
      return false;
    } catch (error) {
      return isErrno(error, 'ELOOP', 'ENOTDIR');
    }
  }

  /** The target of a symlink that is there in the end. */
  #copiedLink(path: ByteString): ByteString | undefined {
    if (this.#copy === undefined) return undefined;
    try {
      using link = openBeneath(this.#copy, path, O_PATH | constants.O_NOFOLLOW);
      return (link.stat().mode & constants.S_IFMT) === constants.S_IFLNK
        ? files.readlinkat(link.number, '')
        : undefined;
    } catch (error) {
      // What is not there, or not readable, is for whoever opens the file to say.
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG')) return undefined;
      throw error;
    }
  }
}
