import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { checksumOf, isChecksum, verifyChecksum, type Checksum } from '../object/checksum.js';
import { HeaderReader, type SizedHeader } from '../object/file-header.js';
import type { ObjectKind } from '../object/kind.js';
import type { CommitChunk } from './commit-stream-builder.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, ID_SIZE, NO_OBJECT } from './format.js';

/** One object of a commit stream. */
export interface StoredEntry {
  readonly id: Checksum;
  /** bytes of metadata, or a file's sized header and maybe its content; part of the chunk, not to be changed */
  readonly data: Buffer;
  /** where the content of a file is that is not in the data */
  readonly object: ObjectId | undefined;
}

/** A file of a commit stream. */
export interface StoredFileEntry extends SizedHeader {
  /** content of a small file; empty for a symlink and where there is an object */
  readonly inline: Buffer;
  readonly object: ObjectId | undefined;
}

/** The objects of one commit, as a commit stream has them: everything but the content of files that are not small. */
export class CommitObjects {
  /** The id of the commit object. */
  readonly commit: Checksum;
  readonly count: number;
  readonly #chunk: Buffer;
  readonly #objects: readonly ObjectId[];
  readonly #entries: number;
  readonly #data: number;
  readonly #headers = new HeaderReader();

  /**
   * Reads the chunk of a commit stream: its whole structure is checked, the objects in it are not.
   * @param chunk not copied
   * @param objects the stream's object references
   * @throws FormatError `OSTREE_STREAM`
   */
  constructor(chunk: Buffer, objects: readonly ObjectId[]) {
    if (chunk.length < CHUNK.ids) throw damaged(`has ${chunk.length} bytes, which is too short`);
    this.count = checkBuckets(chunk);
    this.#chunk = chunk;
    this.#objects = objects;
    this.#entries = CHUNK.ids + ID_SIZE * this.count;
    this.#data = this.#entries + ENTRY.size * this.count;
    if (this.#data > chunk.length) throw damaged(`says that it has ${this.count} objects, for which it is too short`);
    this.#checkIds();
    this.#checkEntries();
    const commit = chunk.readUInt32LE(CHUNK.commit);
    if (commit >= this.count) throw damaged(`has commit object ${commit} of ${this.count}`);
    this.commit = this.#id(commit);
  }

  /** Bytes in memory. */
  get size(): number {
    return this.#chunk.length;
  }

  /** All of it, to be written as it was read. */
  get whole(): CommitChunk {
    return { bytes: this.#chunk, objects: this.#objects };
  }

  /** Entry `index` in ascending order of the ids, 0 up to `count`. */
  at(index: number): StoredEntry {
    const at = this.#entries + ENTRY.size * index;
    const start = this.#data + this.#chunk.readUInt32LE(at + ENTRY.offset) * DATA_ALIGNMENT;
    const object = this.#chunk.readUInt32LE(at + ENTRY.object);
    return {
      id: this.#id(index),
      data: this.#chunk.subarray(start, start + this.#chunk.readUInt32LE(at + ENTRY.length)),
      object: object === NO_OBJECT ? undefined : this.#objects[object],
    };
  }

  /** The entry of an object, or undefined. */
  find(id: Checksum): StoredEntry | undefined {
    if (!isChecksum(id)) return undefined;
    const wanted = Buffer.from(id, 'hex');
    const first = wanted[0]!;
    const beginning = wanted.readUInt32BE();
    let low = first === 0 ? 0 : this.#bucket(first - 1);
    let high = this.#bucket(first);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = CHUNK.ids + ID_SIZE * middle;
      // Nearly all ids differ in these bytes.
      const order =
        this.#chunk.readUInt32BE(at) - beginning || this.#chunk.compare(wanted, 0, ID_SIZE, at, at + ID_SIZE);
      if (order === 0) return this.at(middle);
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /**
   * The bytes of a commit, dirtree or dirmeta, verified.
   * @throws FormatError when the stream does not have it, DigestMismatchError when it has other bytes under that id
   */
  metadata(kind: Exclude<ObjectKind, 'file'>, id: Checksum): Buffer {
    const entry = this.find(id);
    if (entry === undefined) throw missing(kind, id);
    if (entry.object !== undefined) throw damaged(`has ${kind} ${id} as a file`);
    verifyChecksum(entry.data, id, kind);
    return entry.data;
  }

  /**
   * A file. Its digest is not verified: that needs all of the content.
   * @throws FormatError when the stream does not have it, or a damaged header, or inline another size than it says
   */
  file(id: Checksum): StoredFileEntry {
    const entry = this.find(id);
    if (entry === undefined) throw missing('file', id);
    return this.fileOf(entry);
  }

  /** The same of an entry of a file. @throws FormatError as `file` does */
  fileOf({ id, data, object }: StoredEntry): StoredFileEntry {
    const { header, size, length } = this.#headers.read(data);
    const inline = data.subarray(length);
    if (object === undefined ? BigInt(inline.length) !== size : inline.length > 0)
      throw damaged(`has file ${id} of ${size} bytes with ${inline.length} of them`);
    return { header, size, length, inline, object };
  }

  *[Symbol.iterator](): Generator<StoredEntry> {
    for (let i = 0; i < this.count; i++) yield this.at(i);
  }

  #id(index: number): Checksum {
    const at = CHUNK.ids + ID_SIZE * index;
    return checksumOf(this.#chunk.subarray(at, at + ID_SIZE), () => 'a commit stream');
  }

  #bucket(byte: number): number {
    return this.#chunk.readUInt32LE(CHUNK.buckets + 4 * byte);
  }

  #checkIds(): void {
    let at = CHUNK.ids;
    let index = 0;
    for (let byte = 0; byte < BUCKETS; byte++)
      for (const end = this.#bucket(byte); index < end; index++, at += ID_SIZE) {
        if (this.#chunk[at] !== byte) throw damaged('has buckets that do not fit its ids');
        if (index > 0 && this.#chunk.compare(this.#chunk, at - ID_SIZE, at, at, at + ID_SIZE) <= 0)
          throw damaged('has ids that do not ascend');
      }
  }

  #checkEntries(): void {
    const room = this.#chunk.length - this.#data;
    for (let at = this.#entries; at < this.#data; at += ENTRY.size) {
      const start = this.#chunk.readUInt32LE(at + ENTRY.offset) * DATA_ALIGNMENT;
      const length = this.#chunk.readUInt32LE(at + ENTRY.length);
      if (start + length > room) throw damaged(`has data from ${start} on of ${length} bytes, in ${room}`);
      const object = this.#chunk.readUInt32LE(at + ENTRY.object);
      if (object !== NO_OBJECT && object >= this.#objects.length)
        throw damaged(`refers to object ${object} of ${this.#objects.length}`);
    }
  }
}

function checkBuckets(chunk: Buffer): number {
  let previous = 0;
  for (let at = CHUNK.buckets as number; at < CHUNK.ids; at += 4) {
    const end = chunk.readUInt32LE(at);
    if (end < previous) throw damaged('has buckets that decrease');
    previous = end;
  }
  return previous;
}

function missing(kind: ObjectKind, id: Checksum): FormatError {
  return new FormatError('OSTREE_STREAM', `Missing ${kind} object ${id} in the commit stream`);
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_STREAM', `a commit stream ${what}`);
}
