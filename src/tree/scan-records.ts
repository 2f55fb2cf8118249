import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { Device, Directory, EMPTY, NO_XATTRS, Regular, Special, Symlink, type Content, type Leaf, type Metadata, type Xattrs } from './tree.js';

/** Bytes of a record before its name; `serialize` in native/scan_folder.cc says what they are. */
const HEAD = 71;
const [NONE, INLINE, DIGEST, TARGET, LINK] = [0, 1, 2, 3, 4] as const;

/** Makes a tree of the list that the addon's scan returns. */
export class ScanReader {
  private readonly directories = new Map<number, Directory>();
  /** Most files have one of a few sets of xattrs. */
  private readonly xattrs = new Map<ByteString, Xattrs>();
  private readonly leaves = new Map<string, Leaf>();
  private readonly links: { parent: Directory; name: ByteString; inode: string }[] = [];

  constructor(private readonly records: Buffer) {}

  /** @throws FormatError SCAN */
  read(): Directory {
    const { records } = this;
    let at = 0;
    while (at < records.length) {
      const nameLength = records.readUInt16LE(at + 61);
      const dataLength = records.readUInt32LE(at + 63);
      const xattrsLength = records.readUInt32LE(at + 67);
      const nameAt = at + HEAD;
      const dataAt = nameAt + nameLength;
      const name = records.toString('latin1', nameAt, dataAt);
      this.addEntry(at, name, records.subarray(dataAt, dataAt + dataLength), this.readXattrs(dataAt + dataLength, xattrsLength));
      at = dataAt + dataLength + xattrsLength;
    }
    for (const { parent, name, inode } of this.links) {
      const leaf = this.leaves.get(inode);
      // The same inode as a directory entry that is gone by now cannot be: the first name's record is always kept.
      if (leaf === undefined) throw new FormatError('SCAN', `no first name of inode ${inode}`);
      parent.entries.set(name, leaf);
    }
    return this.directories.get(0)!;
  }

  private addEntry(at: number, name: ByteString, data: Buffer, xattrs: Xattrs): void {
    const { records } = this;
    const mode = records.readUInt32LE(at + 8);
    const metadata: Metadata = {
      mode: mode & 0o7777,
      uid: records.readUInt32LE(at + 12),
      gid: records.readUInt32LE(at + 16),
      mtimeSec: records.readBigInt64LE(at + 24),
      mtimeNsec: records.readUInt32LE(at + 32),
      xattrs,
    };
    const parent = this.directories.get(records.readUInt32LE(at));
    if ((mode & constants.S_IFMT) === constants.S_IFDIR) {
      const directory = new Directory(metadata);
      this.directories.set(records.readUInt32LE(at + 4), directory);
      parent?.entries.set(name, directory);
      return;
    }
    const inode = records.readBigUInt64LE(at + 52) === 0n ? null : `${records.readBigUInt64LE(at + 44)}:${records.readBigUInt64LE(at + 52)}`;
    if (records[at + 60] === LINK) {
      this.links.push({ parent: parent!, name, inode: inode! });
      return;
    }
    const leaf = this.leafOf(at, mode, metadata, data);
    if (inode !== null) this.leaves.set(inode, leaf);
    parent!.entries.set(name, leaf);
  }

  private leafOf(at: number, mode: number, metadata: Metadata, data: Buffer): Leaf {
    const { records } = this;
    switch (mode & constants.S_IFMT) {
      case constants.S_IFREG:
        return new Regular(metadata, contentOf(records[at + 60]!, records.readBigUInt64LE(at + 36), data));
      case constants.S_IFLNK:
        if (records[at + 60] !== TARGET || data.length === 0) throw new FormatError('SCAN', 'a symlink without target');
        return new Symlink(metadata, data.toString('latin1'));
      case constants.S_IFCHR:
        return new Device(metadata, 'char', records.readUInt32LE(at + 20));
      case constants.S_IFBLK:
        return new Device(metadata, 'block', records.readUInt32LE(at + 20));
      case constants.S_IFIFO:
        return new Special(metadata, 'fifo');
      default:
        return new Special(metadata, 'socket');
    }
  }

  private readXattrs(start: number, length: number): Xattrs {
    if (length === 0) return NO_XATTRS;
    const { records } = this;
    const key = records.toString('latin1', start, start + length);
    let xattrs = this.xattrs.get(key);
    if (xattrs === undefined) {
      const read = new Map<ByteString, ByteString>();
      for (let at = start; at < start + length; ) {
        const valueAt = at + 6 + records.readUInt16LE(at);
        const end = valueAt + records.readUInt32LE(at + 2);
        read.set(records.toString('latin1', at + 6, valueAt), records.toString('latin1', valueAt, end));
        at = end;
      }
      this.xattrs.set(key, (xattrs = read));
    }
    return xattrs;
  }

}

function contentOf(kind: number, size: bigint, data: Buffer): Content {
  switch (kind) {
    case INLINE:
      return { kind: 'inline', bytes: data };
    case DIGEST:
      return { kind: 'object', id: data.toString('hex'), size };
    case NONE:
      return EMPTY;
    default:
      throw new FormatError('SCAN', `unknown kind of data ${kind}`);
  }
}
