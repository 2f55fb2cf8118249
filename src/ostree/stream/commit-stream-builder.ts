import { copyBytes } from '../../copy-bytes.js';
import { FormatError } from '../../errors.js';
import { DIGEST_SIZE, type Algorithm } from '../../fsverity/algorithm.js';
import { DigestTable } from '../../fsverity/digest-table.js';
import { Digests } from '../../fsverity/digests.js';
import { digestOf, type ObjectId } from '../../fsverity/object-id.js';
import { GrowingBuffer } from '../../growing-buffer.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import { compareIds, ID_SIZE, isChecksum, type Checksum } from '../object/checksum.js';
import type { CommitObjects } from './commit-objects.js';
import { BUCKETS, CHUNK, DATA_ALIGNMENT, ENTRY, idOffset, NO_OBJECT, type CommitChunk } from './format.js';

/** Gathers the objects of a commit, in any order. Memory: their metadata, and some 150 bytes for each. */
export class CommitStreamBuilder {
  readonly #algorithm: Algorithm;
  readonly #ids = new DigestTable(ID_SIZE);
  /** Where the content of files is that is not in the data. */
  readonly #contents: DigestTable;
  /** Of each object, by its number: the stream that it was taken from. */
  readonly #origins: (CommitObjects | undefined)[] = [];
  /** Its place there, or the number of its content. */
  readonly #places: number[] = [];
  /** Where its data begin, in `#data` or in the chunk of that stream, and how long they are. */
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  readonly #data = new GrowingBuffer(64 << 10);

  /** @param algorithm of the repository that the content of files is in */
  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
    this.#contents = new DigestTable(DIGEST_SIZE[algorithm]);
  }

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
    if (this.#ids.add(Buffer.from(id, 'hex'), 0) < this.#origins.length) return;
    const content = object === undefined ? NO_OBJECT : this.#contents.add(digestOf(object, this.#algorithm), 0);
    const start = this.#data.reserve(data.length);
    data.copy(this.#data.bytes, start);
    this.#note(undefined, content, start, data.length);
  }

  /** Adds an object of a commit stream of the same repository, unless it is there. Nothing is copied before the end. */
  take(objects: CommitObjects, index: number): void {
    if (this.#ids.add(objects.chunk, idOffset(index)) < this.#origins.length) return;
    this.#note(objects, index, objects.startAt(index), objects.lengthAt(index));
  }

  /** The bytes that were added for an object. Valid until the next one is added. */
  data(id: Checksum): Buffer | undefined {
    const number = this.#numberOf(id);
    if (number === undefined) return undefined;
    const start = this.#starts[number]!;
    return (this.#origins[number]?.chunk ?? this.#data.bytes).subarray(start, start + this.#lengths[number]!);
  }

  /**
   * The chunk: the same objects give the same bytes.
   * @param commit id of the commit object, one of those that were added
   */
  finish(commit: Checksum): CommitChunk {
    const ids = this.#ids.bytes;
    const contents = this.#contents.bytes;
    const order = orderOf(ids);
    const at = order.indexOf(this.#numberOf(commit) ?? -1);
    if (at < 0) throw new RangeError(`commit ${commit} was not added`);
    const start = CHUNK.ids + order.length * (ID_SIZE + ENTRY.size);
    const bytes = Buffer.alloc(start + this.#size());
    const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    numbers.setUint32(CHUNK.commit, at, true);
    const objects = new DigestTable(DIGEST_SIZE[this.#algorithm]);
    const buckets = new Uint32Array(BUCKETS);
    let place = CHUNK.ids as number;
    let entry = CHUNK.ids + order.length * ID_SIZE;
    let to = start;
    for (const number of order) {
      const length = this.#lengths[number]!;
      copyBytes(ids, number * ID_SIZE, bytes, place, ID_SIZE);
      copyBytes(this.#origins[number]?.chunk ?? this.#data.bytes, this.#starts[number]!, bytes, to, length);
      buckets[bytes[place]!]!++;
      numbers.setUint32(entry + ENTRY.offset, (to - start) / DATA_ALIGNMENT, true);
      numbers.setUint32(entry + ENTRY.length, length, true);
      numbers.setUint32(entry + ENTRY.object, this.#reference(objects, contents, number), true);
      place += ID_SIZE;
      entry += ENTRY.size;
      to += roundUp(length);
    }
    let end = 0;
    buckets.forEach((count, byte) => {
      end += count;
      numbers.setUint32(CHUNK.buckets + 4 * byte, end, true);
    });
    return { bytes, objects: new Digests(this.#algorithm, objects.bytes) };
  }

  #numberOf(id: Checksum): number | undefined {
    return isChecksum(id) ? this.#ids.find(Buffer.from(id, 'hex'), 0) : undefined;
  }

  #note(origin: CommitObjects | undefined, place: number, start: number, length: number): void {
    this.#origins.push(origin);
    this.#places.push(place);
    this.#starts.push(start);
    this.#lengths.push(length);
  }

  /** @param objects the references of the stream, to which that of the object is added */
  #reference(objects: DigestTable, contents: Buffer, number: number): number {
    const place = this.#places[number]!;
    const origin = this.#origins[number];
    const content = origin === undefined ? place : origin.referenceAt(place);
    if (content === NO_OBJECT) return NO_OBJECT;
    return objects.add(origin?.references.bytes ?? contents, content * DIGEST_SIZE[this.#algorithm]);
  }

  /** Bytes of the data of all objects, each from a multiple of the alignment on. */
  #size(): number {
    let size = 0;
    for (const length of this.#lengths) size += roundUp(length);
    if (size > OSTREE_CHUNK_LIMIT)
      throw new FormatError(
        'OSTREE_STREAM',
        `a commit of ${size} bytes of metadata, at most ${OSTREE_CHUNK_LIMIT} are written`,
      );
    return size;
  }
}

/** The numbers of ids, which are one after the other, in ascending order of these. */
function orderOf(ids: Buffer): Uint32Array {
  // With their first four bytes alone, which are others in nearly all ids, no function is needed to compare them.
  const keys = new BigUint64Array(ids.length / ID_SIZE);
  for (let number = 0; number < keys.length; number++)
    keys[number] = BigInt(ids.readUInt32BE(number * ID_SIZE) * 2 ** 32) + BigInt(number);
  const order = Uint32Array.from(keys.sort(), (key) => Number(BigInt.asUintN(32, key)));
  for (let i = 1; i < order.length; i++)
    for (let j = i; j > 0 && compareIds(ids, order[j - 1]! * ID_SIZE, ids, order[j]! * ID_SIZE) > 0; j--)
      [order[j - 1], order[j]] = [order[j]!, order[j - 1]!];
  return order;
}

function roundUp(length: number): number {
  return Math.ceil(length / DATA_ALIGNMENT) * DATA_ALIGNMENT;
}
