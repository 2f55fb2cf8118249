import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import type { Checksum } from '../object/checksum.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, ID_SIZE, NO_OBJECT } from './format.js';

/** What a commit stream is written from. */
export interface CommitChunk {
  /** tables, and the data of all objects */
  readonly bytes: Buffer;
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
    const at = ids.indexOf(commit);
    if (at < 0) throw new RangeError(`commit ${commit} was not added`);
    const start = CHUNK.ids + ids.length * (ID_SIZE + ENTRY.size);
    const bytes = Buffer.alloc(start + this.#sizeOf(ids));
    bytes.writeUInt32LE(at, CHUNK.commit);
    const references = new Map<ObjectId, number>();
    const buckets = new Uint32Array(BUCKETS);
    let entry = CHUNK.ids + ids.length * ID_SIZE;
    let to = start;
    ids.forEach((id, i) => {
      const index = this.#index.get(id)!;
      const place = CHUNK.ids + ID_SIZE * i;
      if (bytes.write(id, place, 'hex') !== ID_SIZE) throw new RangeError(`not an id: ${id}`);
      buckets[bytes[place]!]!++;
      const [from, length] = [this.#places[2 * index]!, this.#places[2 * index + 1]!];
      bytes.writeUInt32LE((to - start) / DATA_ALIGNMENT, entry + ENTRY.offset);
      bytes.writeUInt32LE(length, entry + ENTRY.length);
      bytes.writeUInt32LE(referenceOf(references, this.#objects[index]), entry + ENTRY.object);
      this.#data.copy(bytes, to, from, from + length);
      entry += ENTRY.size;
      to += roundUp(length);
    });
    let end = 0;
    buckets.forEach((count, byte) => {
      end += count;
      bytes.writeUInt32LE(end, CHUNK.buckets + 4 * byte);
    });
    return { bytes, objects: [...references.keys()] };
  }

  /** Bytes of the data of these objects, each from a multiple of the alignment on. */
  #sizeOf(ids: readonly Checksum[]): number {
    let size = 0;
    for (const id of ids) size += roundUp(this.#places[2 * this.#index.get(id)! + 1]!);
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
