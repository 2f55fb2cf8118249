import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import { ID_SIZE, isChecksum, type Checksum } from '../object/checksum.js';
import { IdTable } from '../object/id-table.js';
import type { StoredEntry } from './commit-objects.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, idOffset, NO_OBJECT, type CommitChunk } from './format.js';

/** Gathers the objects of a commit, in any order. Memory: their metadata, and some 150 bytes for each. */
export class CommitStreamBuilder {
  readonly #ids = new IdTable();
  /** What each object came with, by its number. */
  readonly #objects: (StoredEntry | ObjectId | undefined)[] = [];
  /** Start and length of its data, which are in `#data` unless it is a stored one's. */
  readonly #places: number[] = [];
  #data = Buffer.allocUnsafe(64 << 10);
  #length = 0;

  get count(): number {
    return this.#ids.count;
  }

  /** Whether the object is there whose id begins at `at`. */
  hasAt(bytes: Buffer, at: number): boolean {
    return this.#ids.find(bytes, at) !== undefined;
  }

  /**
   * Adds an object, unless it is there.
   * @param data bytes of metadata, or a file's sized header and maybe its content; copied
   * @param object where the content of a file is that is not in the data
   */
  add(id: Checksum, data: Buffer, object?: ObjectId): void {
    if (!isChecksum(id)) throw new RangeError(`not an id: ${id}`);
    if (this.#ids.add(Buffer.from(id, 'hex'), 0) < this.#objects.length) return;
    this.#objects.push(object);
    this.#places.push(this.#length, data.length);
    this.#reserve(data.length);
    data.copy(this.#data, this.#length);
    this.#length += data.length;
  }

  /** Adds an object of another commit stream, unless it is there. Nothing is copied before the end. */
  take(entry: StoredEntry): void {
    if (this.#ids.add(entry.objects.chunk, idOffset(entry.index)) < this.#objects.length) return;
    this.#objects.push(entry);
    this.#places.push(0, entry.data.length);
  }

  /**
   * The bytes that were added for an object. Valid until the next one is added.
   */
  data(id: Checksum): Buffer | undefined {
    const number = this.#numberOf(id);
    return number === undefined ? undefined : this.#dataOf(number);
  }

  /**
   * The chunk: the same objects give the same bytes.
   * @param commit id of the commit object, one of those that were added
   */
  finish(commit: Checksum): CommitChunk {
    const order = this.#order();
    const at = order.indexOf(this.#numberOf(commit) ?? -1);
    if (at < 0) throw new RangeError(`commit ${commit} was not added`);
    const start = CHUNK.ids + order.length * (ID_SIZE + ENTRY.size);
    const bytes = Buffer.alloc(start + this.#size());
    bytes.writeUInt32LE(at, CHUNK.commit);
    const ids = this.#ids.bytes;
    const references = new Map<ObjectId, number>();
    const buckets = new Uint32Array(BUCKETS);
    let place = CHUNK.ids as number;
    let entry = CHUNK.ids + order.length * ID_SIZE;
    let to = start;
    for (const number of order) {
      ids.copy(bytes, place, number * ID_SIZE, (number + 1) * ID_SIZE);
      buckets[bytes[place]!]!++;
      const data = this.#dataOf(number);
      bytes.writeUInt32LE((to - start) / DATA_ALIGNMENT, entry + ENTRY.offset);
      bytes.writeUInt32LE(data.length, entry + ENTRY.length);
      bytes.writeUInt32LE(referenceOf(references, this.#objectOf(number)), entry + ENTRY.object);
      bytes.set(data, to);
      place += ID_SIZE;
      entry += ENTRY.size;
      to += roundUp(data.length);
    }
    let end = 0;
    buckets.forEach((count, byte) => {
      end += count;
      bytes.writeUInt32LE(end, CHUNK.buckets + 4 * byte);
    });
    return { bytes, objects: [...references.keys()] };
  }

  #numberOf(id: Checksum): number | undefined {
    return isChecksum(id) ? this.#ids.find(Buffer.from(id, 'hex'), 0) : undefined;
  }

  #dataOf(number: number): Buffer {
    const object = this.#objects[number];
    if (typeof object === 'object') return object.data;
    const start = this.#places[2 * number]!;
    return this.#data.subarray(start, start + this.#places[2 * number + 1]!);
  }

  #objectOf(number: number): ObjectId | undefined {
    const object = this.#objects[number];
    return typeof object === 'object' ? object.object : object;
  }

  /** The numbers of all objects in ascending order of their ids. */
  #order(): Uint32Array {
    const ids = this.#ids.bytes;
    const beginnings = Uint32Array.from({ length: this.count }, (_, number) => ids.readUInt32BE(number * ID_SIZE));
    return Uint32Array.from(beginnings.keys()).sort(
      (a, b) =>
        // Nearly all ids differ in these bytes.
        beginnings[a]! - beginnings[b]! ||
        ids.compare(ids, b * ID_SIZE, (b + 1) * ID_SIZE, a * ID_SIZE, (a + 1) * ID_SIZE),
    );
  }

  /** Bytes of the data of all objects, each from a multiple of the alignment on. */
  #size(): number {
    let size = 0;
    for (let at = 1; at < this.#places.length; at += 2) size += roundUp(this.#places[at]!);
    if (size > OSTREE_CHUNK_LIMIT)
      throw new FormatError(
        'OSTREE_STREAM',
        `a commit of ${size} bytes of metadata, at most ${OSTREE_CHUNK_LIMIT} are written`,
      );
    return size;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#data.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#data.length, this.#length + more));
    this.#data.copy(larger, 0, 0, this.#length);
    this.#data = larger;
  }
}

function referenceOf(references: Map<ObjectId, number>, object: ObjectId | undefined): number {
  if (object === undefined) return NO_OBJECT;
  const known = references.get(object);
  if (known !== undefined) return known;
  references.set(object, references.size);
  return references.size - 1;
}

function roundUp(length: number): number {
  return Math.ceil(length / DATA_ALIGNMENT) * DATA_ALIGNMENT;
}
