import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { SCAN_AT, SCAN_DATA } from '../layouts.js';
import {
  Device,
  Directory,
  EMPTY,
  NO_XATTRS,
  Regular,
  Special,
  Symlink,
  type Content,
  type Leaf,
  type Metadata,
  type Xattrs,
} from './tree.js';

/** Makes a tree of the list that the addon's scan returns. */
export class ScanReader {
  readonly #directories = new Map<number, Directory>();
  /** Most files have one of a few sets of xattrs. */
  readonly #xattrs = new Map<ByteString, Xattrs>();
  readonly #leaves = new Map<string, Leaf>();
  readonly #links: { parent: Directory; name: ByteString; inode: string }[] = [];
  readonly #records: Buffer;

  constructor(records: Buffer) {
    this.#records = records;
  }

  /** @throws FormatError SCAN */
  read(): Directory {
    const records = this.#records;
    let at = 0;
    while (at < records.length) {
      const nameLength = records.readUInt16LE(at + SCAN_AT.nameLength);
      const dataLength = records.readUInt32LE(at + SCAN_AT.dataLength);
      const xattrsLength = records.readUInt32LE(at + SCAN_AT.xattrsLength);
      const nameAt = at + SCAN_AT.end;
      const dataAt = nameAt + nameLength;
      const name = records.toString('latin1', nameAt, dataAt);
      this.#addEntry(
        at,
        name,
        records.subarray(dataAt, dataAt + dataLength),
        this.#readXattrs(dataAt + dataLength, xattrsLength),
      );
      at = dataAt + dataLength + xattrsLength;
    }
    for (const { parent, name, inode } of this.#links) {
      const leaf = this.#leaves.get(inode);
      // The same inode as a directory entry that is gone by now cannot be: the first name's record is always kept.
      if (leaf === undefined) throw new FormatError('SCAN', `no first name of inode ${inode}`);
      parent.entries.set(name, leaf);
    }
    const root = this.#directories.get(0);
    if (root === undefined) throw new FormatError('SCAN', 'no root');
    return root;
  }

  #addEntry(at: number, name: ByteString, data: Buffer, xattrs: Xattrs): void {
    const records = this.#records;
    const mode = records.readUInt32LE(at + SCAN_AT.mode);
    const metadata: Metadata = {
      mode: mode & 0o7777,
      uid: records.readUInt32LE(at + SCAN_AT.uid),
      gid: records.readUInt32LE(at + SCAN_AT.gid),
      mtimeSec: records.readBigInt64LE(at + SCAN_AT.mtimeSec),
      mtimeNsec: records.readUInt32LE(at + SCAN_AT.mtimeNsec),
      xattrs,
    };
    const parent = this.#directories.get(records.readUInt32LE(at + SCAN_AT.parent));
    if ((mode & constants.S_IFMT) === constants.S_IFDIR) {
      const directory = new Directory(metadata);
      this.#directories.set(records.readUInt32LE(at + SCAN_AT.number), directory);
      parent?.entries.set(name, directory);
      return;
    }
    if (parent === undefined) throw new FormatError('SCAN', 'an entry without directory');
    const inode =
      records.readBigUInt64LE(at + SCAN_AT.ino) === 0n
        ? undefined
        : `${records.readBigUInt64LE(at + SCAN_AT.dev)}:${records.readBigUInt64LE(at + SCAN_AT.ino)}`;
    if (records[at + SCAN_AT.data] === SCAN_DATA.link) {
      if (inode === undefined) throw new FormatError('SCAN', 'a further name of no inode');
      this.#links.push({ parent, name, inode });
      return;
    }
    const leaf = this.#leafOf(at, mode, metadata, data);
    if (inode !== undefined) this.#leaves.set(inode, leaf);
    parent.entries.set(name, leaf);
  }

  #leafOf(at: number, mode: number, metadata: Metadata, data: Buffer): Leaf {
    const records = this.#records;
    switch (mode & constants.S_IFMT) {
      case constants.S_IFREG:
        return new Regular(
          metadata,
          contentOf(records[at + SCAN_AT.data]!, records.readBigUInt64LE(at + SCAN_AT.size), data),
        );
      case constants.S_IFLNK:
        if (records[at + SCAN_AT.data] !== SCAN_DATA.target || data.length === 0)
          throw new FormatError('SCAN', 'a symlink without target');
        return new Symlink(metadata, data.toString('latin1'));
      case constants.S_IFCHR:
        return new Device(metadata, 'char', records.readUInt32LE(at + SCAN_AT.rdev));
      case constants.S_IFBLK:
        return new Device(metadata, 'block', records.readUInt32LE(at + SCAN_AT.rdev));
      case constants.S_IFIFO:
        return new Special(metadata, 'fifo');
      default:
        return new Special(metadata, 'socket');
    }
  }

  #readXattrs(start: number, length: number): Xattrs {
    if (length === 0) return NO_XATTRS;
    const records = this.#records;
    const key = records.toString('latin1', start, start + length);
    let xattrs = this.#xattrs.get(key);
    if (xattrs === undefined) {
      const read = new Map<ByteString, ByteString>();
      for (let at = start; at < start + length; ) {
        const valueAt = at + 6 + records.readUInt16LE(at);
        const end = valueAt + records.readUInt32LE(at + 2);
        read.set(records.toString('latin1', at + 6, valueAt), records.toString('latin1', valueAt, end));
        at = end;
      }
      this.#xattrs.set(key, (xattrs = read));
    }
    return xattrs;
  }
}

function contentOf(kind: number, size: bigint, data: Buffer): Content {
  switch (kind) {
    case SCAN_DATA.inline:
      return { kind: 'inline', bytes: data };
    case SCAN_DATA.digest:
      return { kind: 'object', id: data.toString('hex'), size };
    case SCAN_DATA.none:
      return EMPTY;
    default:
      throw new FormatError('SCAN', `unknown kind of data ${kind}`);
  }
}
