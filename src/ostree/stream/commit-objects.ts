import { FormatError } from '../../errors.js';
import type { Digests } from '../../fsverity/digests.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { compareIds, ID_SIZE, isChecksum, verifyChecksum, type Checksum } from '../object/checksum.js';
import { HeaderReader, type SizedHeader } from '../object/file-header.js';
import type { ObjectKind } from '../object/kind.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, idOffset, NO_OBJECT, type CommitChunk } from './format.js';

const NO_BYTES = Buffer.alloc(0);

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
  /** The stream's object references. */
  readonly references: Digests;
  readonly #numbers: DataView;
  /** Where the ids of each first byte end, behind a 0. */
  readonly #buckets: Uint32Array;
  /** The first four bytes of each id. */
  readonly #beginnings: Uint32Array;
  readonly #entries: number;
  readonly #data: number;
  readonly #headers = new HeaderReader();

  /**
   * Reads the chunk of a commit stream: its whole structure is checked, the objects in it are not.
   * @param chunk not copied
   * @throws FormatError `OSTREE_STREAM`
   */
  constructor({ bytes: chunk, objects }: CommitChunk) {
    if (chunk.length < CHUNK.ids) throw damaged(`has ${chunk.length} bytes, which is too short`);
    this.chunk = chunk;
    this.references = objects;
    this.#numbers = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#buckets = this.#readBuckets();
    this.count = this.#buckets[BUCKETS]!;
    this.#entries = CHUNK.ids + ID_SIZE * this.count;
    this.#data = this.#entries + ENTRY.size * this.count;
    if (this.#data > chunk.length) throw damaged(`says that it has ${this.count} objects, for which it is too short`);
    this.#beginnings = new Uint32Array(this.count);
    this.#checkIds();
    this.#checkEntries();
    const commit = this.#number(CHUNK.commit);
    if (commit >= this.count) throw damaged(`has commit object ${commit} of ${this.count}`);
    this.commit = this.idAt(commit);
  }

  /** Bytes in memory. */
  get size(): number {
    return this.chunk.length;
  }

  /** All of it, to be written as it was read. */
  get whole(): CommitChunk {
    return { bytes: this.chunk, objects: this.references };
  }

  /** The id of entry `index`, 0 up to `count`, in ascending order. */
  idAt(index: number): Checksum {
    const at = idOffset(index);
    return this.chunk.toString('hex', at, at + ID_SIZE);
  }

  /** Where the data of an entry begin in the chunk. */
  startAt(index: number): number {
    return this.#data + this.#number(this.#entries + ENTRY.size * index + ENTRY.offset) * DATA_ALIGNMENT;
  }

  /** How many bytes of data an entry has. */
  lengthAt(index: number): number {
    return this.#number(this.#entries + ENTRY.size * index + ENTRY.length);
  }

  /** Which of the stream's object references an entry has, or `NO_OBJECT`. */
  referenceAt(index: number): number {
    return this.#number(this.#entries + ENTRY.size * index + ENTRY.object);
  }

  /** What `StoredEntry` has of it. */
  dataAt(index: number): Buffer {
    const start = this.startAt(index);
    return this.chunk.subarray(start, start + this.lengthAt(index));
  }

  /** What `StoredEntry` has of it. */
  objectAt(index: number): ObjectId | undefined {
    const object = this.referenceAt(index);
    return object === NO_OBJECT ? undefined : this.references.at(object);
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
    const beginning = ((first << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
    let low = this.#buckets[first]!;
    let high = this.#buckets[first + 1]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#beginnings[middle]! - beginning || compareIds(this.chunk, idOffset(middle), bytes, at);
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
    const { header, size, length } = this.headerAt(index);
    const start = this.startAt(index) + length;
    const end = this.startAt(index) + this.lengthAt(index);
    const inline = start === end ? NO_BYTES : this.chunk.subarray(start, end);
    return { header, size, length, inline, object: this.objectAt(index) };
  }

  /** The header of the file at `index`. @throws FormatError as `file` does */
  headerAt(index: number): SizedHeader {
    const start = this.startAt(index);
    const end = start + this.lengthAt(index);
    const sized = this.#headers.read(this.chunk, start, end);
    const inline = end - start - sized.length;
    if (this.referenceAt(index) === NO_OBJECT ? BigInt(inline) !== sized.size : inline > 0)
      throw damaged(`has file ${this.idAt(index)} of ${sized.size} bytes with ${inline} of them`);
    return sized;
  }

  *[Symbol.iterator](): Generator<StoredEntry> {
    for (let i = 0; i < this.count; i++) yield new StoredEntry(this, i);
  }

  #number(at: number): number {
    return this.#numbers.getUint32(at, true);
  }

  #readBuckets(): Uint32Array {
    const buckets = new Uint32Array(BUCKETS + 1);
    for (let byte = 0; byte < BUCKETS; byte++) {
      buckets[byte + 1] = this.#number(CHUNK.buckets + 4 * byte);
      if (buckets[byte + 1]! < buckets[byte]!) throw damaged('has buckets that decrease');
    }
    return buckets;
  }

  #checkIds(): void {
    let at = CHUNK.ids;
    let index = 0;
    for (let byte = 0; byte < BUCKETS; byte++)
      for (const end = this.#buckets[byte + 1]!; index < end; index++, at += ID_SIZE) {
        if (this.chunk[at] !== byte) throw damaged('has buckets that do not fit its ids');
        this.#beginnings[index] = this.#numbers.getUint32(at);
        if (index === 0) continue;
        // Nearly all ids differ in these bytes.
        const order =
          this.#beginnings[index]! - this.#beginnings[index - 1]! ||
          compareIds(this.chunk, at, this.chunk, at - ID_SIZE);
        if (order <= 0) throw damaged('has ids that do not ascend');
      }
  }

  #checkEntries(): void {
    const room = this.chunk.length - this.#data;
    for (let at = this.#entries; at < this.#data; at += ENTRY.size) {
      const start = this.#number(at + ENTRY.offset) * DATA_ALIGNMENT;
      const length = this.#number(at + ENTRY.length);
      if (start + length > room) throw damaged(`has data from ${start} on of ${length} bytes, in ${room}`);
      const object = this.#number(at + ENTRY.object);
      if (object !== NO_OBJECT && object >= this.references.length)
        throw damaged(`refers to object ${object} of ${this.references.length}`);
    }
  }
}

function missing(kind: ObjectKind, id: Checksum): FormatError {
  return new FormatError('OSTREE_STREAM', `Missing ${kind} object ${id} in the commit stream`);
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_STREAM', `a commit stream ${what}`);
}
