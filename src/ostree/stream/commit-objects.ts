import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { ID_SIZE, isChecksum, verifyChecksum, type Checksum } from '../object/checksum.js';
import { HeaderReader, type SizedHeader } from '../object/file-header.js';
import type { ObjectKind } from '../object/kind.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, idOffset, NO_OBJECT, type CommitChunk } from './format.js';

/** One object of a commit stream. Of most little is asked. */
export class StoredEntry {
  readonly objects: CommitObjects;
  /** in ascending order of the ids */
  readonly index: number;

  constructor(objects: CommitObjects, index: number) {
    this.objects = objects;
    this.index = index;
  }

  get id(): Checksum {
    return this.objects.idAt(this.index);
  }

  /** Bytes of metadata, or a file's sized header and maybe its content; part of the chunk, not to be changed. */
  get data(): Buffer {
    return this.objects.dataAt(this.index);
  }

  /** Where the content of a file is that is not in the data. */
  get object(): ObjectId | undefined {
    return this.objects.objectAt(this.index);
  }
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
  /** Not to be changed. */
  readonly chunk: Buffer;
  readonly #objects: readonly ObjectId[];
  /** The first four bytes of each id. */
  readonly #beginnings: Uint32Array;
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
    this.chunk = chunk;
    this.#objects = objects;
    this.#entries = CHUNK.ids + ID_SIZE * this.count;
    this.#data = this.#entries + ENTRY.size * this.count;
    if (this.#data > chunk.length) throw damaged(`says that it has ${this.count} objects, for which it is too short`);
    this.#beginnings = new Uint32Array(this.count);
    this.#checkIds();
    this.#checkEntries();
    const commit = chunk.readUInt32LE(CHUNK.commit);
    if (commit >= this.count) throw damaged(`has commit object ${commit} of ${this.count}`);
    this.commit = this.idAt(commit);
  }

  /** Bytes in memory. */
  get size(): number {
    return this.chunk.length;
  }

  /** All of it, to be written as it was read. */
  get whole(): CommitChunk {
    return { bytes: this.chunk, objects: this.#objects };
  }

  /** The id of entry `index`, 0 up to `count`, in ascending order. */
  idAt(index: number): Checksum {
    const at = idOffset(index);
    return this.chunk.toString('hex', at, at + ID_SIZE);
  }

  /** What `StoredEntry` has of it. */
  dataAt(index: number): Buffer {
    const at = this.#entries + ENTRY.size * index;
    const start = this.#data + this.chunk.readUInt32LE(at + ENTRY.offset) * DATA_ALIGNMENT;
    return this.chunk.subarray(start, start + this.chunk.readUInt32LE(at + ENTRY.length));
  }

  /** What `StoredEntry` has of it. */
  objectAt(index: number): ObjectId | undefined {
    const object = this.chunk.readUInt32LE(this.#entries + ENTRY.size * index + ENTRY.object);
    return object === NO_OBJECT ? undefined : this.#objects[object];
  }

  /** The entry of an object, or undefined. */
  find(id: Checksum): StoredEntry | undefined {
    if (!isChecksum(id)) return undefined;
    const index = this.indexOf(Buffer.from(id, 'hex'), 0);
    return index === undefined ? undefined : new StoredEntry(this, index);
  }

  /** Where the object is whose id begins at `at`. */
  indexOf(bytes: Buffer, at: number): number | undefined {
    const first = bytes[at]!;
    const beginning = bytes.readUInt32BE(at);
    let low = first === 0 ? 0 : this.#bucket(first - 1);
    let high = this.#bucket(first);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#beginnings[middle]! - beginning || this.#compare(middle, bytes, at);
      if (order === 0) return middle;
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
    if (!isChecksum(id)) throw missing('file', id);
    return this.fileAt(this.indexOfFile(Buffer.from(id, 'hex'), 0));
  }

  /** Where the file is whose id begins at `at`. @throws FormatError when the stream does not have it */
  indexOfFile(bytes: Buffer, at: number): number {
    const index = this.indexOf(bytes, at);
    if (index === undefined) throw missing('file', bytes.toString('hex', at, at + ID_SIZE));
    return index;
  }

  /** The same of the file at `index`. @throws FormatError as `file` does */
  fileAt(index: number): StoredFileEntry {
    const data = this.dataAt(index);
    const object = this.objectAt(index);
    const { header, size, length } = this.#headers.read(data);
    const inline = data.subarray(length);
    if (object === undefined ? BigInt(inline.length) !== size : inline.length > 0)
      throw damaged(`has file ${this.idAt(index)} of ${size} bytes with ${inline.length} of them`);
    return { header, size, length, inline, object };
  }

  *[Symbol.iterator](): Generator<StoredEntry> {
    for (let i = 0; i < this.count; i++) yield new StoredEntry(this, i);
  }

  #compare(index: number, bytes: Buffer, from: number): number {
    const at = idOffset(index);
    return this.chunk.compare(bytes, from, from + ID_SIZE, at, at + ID_SIZE);
  }

  #bucket(byte: number): number {
    return this.chunk.readUInt32LE(CHUNK.buckets + 4 * byte);
  }

  #checkIds(): void {
    let at = CHUNK.ids;
    let index = 0;
    for (let byte = 0; byte < BUCKETS; byte++)
      for (const end = this.#bucket(byte); index < end; index++, at += ID_SIZE) {
        if (this.chunk[at] !== byte) throw damaged('has buckets that do not fit its ids');
        this.#beginnings[index] = this.chunk.readUInt32BE(at);
        if (index === 0) continue;
        // Nearly all ids differ in these bytes.
        const order =
          this.#beginnings[index]! - this.#beginnings[index - 1]! || this.#compare(index, this.chunk, at - ID_SIZE);
        if (order <= 0) throw damaged('has ids that do not ascend');
      }
  }

  #checkEntries(): void {
    const room = this.chunk.length - this.#data;
    for (let at = this.#entries; at < this.#data; at += ENTRY.size) {
      const start = this.chunk.readUInt32LE(at + ENTRY.offset) * DATA_ALIGNMENT;
      const length = this.chunk.readUInt32LE(at + ENTRY.length);
      if (start + length > room) throw damaged(`has data from ${start} on of ${length} bytes, in ${room}`);
      const object = this.chunk.readUInt32LE(at + ENTRY.object);
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
