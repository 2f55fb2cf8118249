import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import type { Checksum } from '../object/checksum.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, ID_SIZE, NO_OBJECT } from './format.js';

/** What a commit stream is written from. */
export interface CommitChunk {
  /** its parts; the last has the data of all objects */
  readonly parts: readonly Buffer[];
  /** of all parts together, in bytes */
  readonly size: number;
  /** the stream's object references, in this order */
  readonly objects: readonly ObjectId[];
}

/** Gathers the objects of a commit, in any order. Memory: their metadata, and some 100 bytes for each. */
export class CommitStreamBuilder {
  readonly #index = new Map<Checksum, number>();
  #data = Buffer.allocUnsafe(64 << 10);
  #length = 0;
  /** Start and length in `#data` of each object. */
  readonly #places: number[] = [];
  readonly #objects: (ObjectId | undefined)[] = [];

  get count(): number {
    return this.#index.size;
  }

  has(id: Checksum): boolean {
    return this.#index.has(id);
  }

  /**
   * Adds an object, unless it is there.
   * @param data bytes of metadata, or a file's sized header and maybe its content; copied
   * @param object where the content of a file is that is not in the data
   */
  add(id: Checksum, data: Buffer, object?: ObjectId): void {
    if (this.#index.has(id)) return;
    this.#index.set(id, this.#objects.length);
    this.#objects.push(object);
    this.#places.push(this.#length, data.length);
    this.#reserve(data.length);
    data.copy(this.#data, this.#length);
    this.#length += data.length;
  }

  /**
   * The bytes that were added for an object. Valid until the next one is added.
   */
  data(id: Checksum): Buffer | undefined {
    const index = this.#index.get(id);
    if (index === undefined) return undefined;
    const start = this.#places[2 * index]!;
    return this.#data.subarray(start, start + this.#places[2 * index + 1]!);
  }

  /**
   * The chunk: the same objects give the same bytes.
   * @param commit id of the commit object, one of those that were added
   */
  finish(commit: Checksum): CommitChunk {
    const ids = [...this.#index.keys()].sort();
    const tables = Buffer.alloc(CHUNK.ids + ids.length * (ID_SIZE + ENTRY.size));
    const references = new Map<ObjectId, number>();
    const buckets = new Uint32Array(BUCKETS);
    let entry = CHUNK.ids + ids.length * ID_SIZE;
    let size = 0;
    ids.forEach((id, i) => {
      const index = this.#index.get(id)!;
      const at = CHUNK.ids + ID_SIZE * i;
      if (tables.write(id, at, 'hex') !== ID_SIZE) throw new RangeError(`not an id: ${id}`);
      buckets[tables[at]!]!++;
      const length = this.#places[2 * index + 1]!;
      tables.writeUInt32LE(size / DATA_ALIGNMENT, entry + ENTRY.offset);
      tables.writeUInt32LE(length, entry + ENTRY.length);
      tables.writeUInt32LE(referenceOf(references, this.#objects[index]), entry + ENTRY.object);
      entry += ENTRY.size;
      size += roundUp(length);
    });
    if (size > OSTREE_CHUNK_LIMIT)
      throw new FormatError(
        'OSTREE_STREAM',
        `a commit of ${size} bytes of metadata, at most ${OSTREE_CHUNK_LIMIT} are written`,
      );
    const at = ids.indexOf(commit);
    if (at < 0) throw new RangeError(`commit ${commit} was not added`);
    tables.writeUInt32LE(at, CHUNK.commit);
    let end = 0;
    buckets.forEach((count, byte) => {
      end += count;
      tables.writeUInt32LE(end, CHUNK.buckets + 4 * byte);
    });
    return { parts: [tables, this.#inOrder(ids, size)], size: tables.length + size, objects: [...references.keys()] };
  }

  #inOrder(ids: readonly Checksum[], size: number): Buffer {
    const data = Buffer.alloc(size);
    let to = 0;
    for (const id of ids) {
      const index = this.#index.get(id)!;
      const start = this.#places[2 * index]!;
      const length = this.#places[2 * index + 1]!;
      this.#data.copy(data, to, start, start + length);
      to += roundUp(length);
    }
    return data;
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
