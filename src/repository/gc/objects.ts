import { randomInt } from 'node:crypto';
import { isErrno } from '../../fd/fd.js';
import type { ByteString } from '../../bytes.js';
import { files } from '../../native.js';
import { listDirectory, openDirectory } from '../links.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';
import { OBJECTS, pathAmongObjects } from '../names.js';
import type { Repository } from '../repository.js';

const CHUNK = 4096;
const SLOTS = 1 << 12;
const KEPT = 1;
/** A prime; factors below it, times 16 bits, can be summed for all of a digest without losing a bit of the sum. */
const PRIME = 2 ** 31 - 1;

/** The 256 directories of `objects/`. */
export const FAN_OUT: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * All objects of a repository, each with a mark: reached or not. Holds raw digests and no strings, some 75 bytes for an
 * object named by SHA-512.
 */
export class ObjectTable {
  /** How many objects there are. */
  count = 0;
  readonly #size: number;
  /** Digests in the order they were added, `CHUNK` in each buffer. */
  readonly #digests: Digests[] = [];
  /** Open addressing: 0 for empty, else an object's number plus 1. */
  #slots = new Int32Array(SLOTS);
  #marks = new Uint8Array(CHUNK);
  readonly #probe: Digests;
  /** One for each 16 bits of a digest. */
  readonly #factors: Float64Array;

  constructor(algorithm: Algorithm) {
    this.#size = DIGEST_SIZE[algorithm];
    this.#probe = digests(this.#size);
    this.#factors = Float64Array.from({ length: this.#size / 2 }, () => randomInt(PRIME));
  }

  /** Adds an object that is not in the table. */
  add(id: ObjectId): void {
    if (this.count % CHUNK === 0) this.#digests.push(digests(CHUNK * this.#size));
    if (this.count === this.#marks.length) this.#marks = grown(this.#marks);
    const { bytes } = this.#chunk(this.count);
    bytes.write(id, this.#start(this.count), 'hex');
    this.count++;
    if (2 * this.count > this.#slots.length) this.#rehash();
    else this.#insert(this.count - 1);
  }

  /** The number of an object, or -1 when it does not exist. */
  find(id: ObjectId): number {
    if (id.length !== 2 * this.#size) return -1;
    this.#probe.bytes.write(id, 'hex');
    return (this.#slots[this.#slotOf(this.#probe, 0)] as number) - 1;
  }

  id(index: number): ObjectId {
    const start = this.#start(index);
    return this.#chunk(index).bytes.toString('hex', start, start + this.#size);
  }

  /** Marks an object as reached. @returns whether it was not before */
  keep(index: number): boolean {
    if (this.#marks[index] === KEPT) return false;
    this.#marks[index] = KEPT;
    return true;
  }

  isKept(index: number): boolean {
    return this.#marks[index] === KEPT;
  }

  #chunk(index: number): Digests {
    return this.#digests[Math.floor(index / CHUNK)] as Digests;
  }

  /** Where a digest begins in its chunk, in bytes. */
  #start(index: number): number {
    return (index % CHUNK) * this.#size;
  }

  /** Where the digest that begins at `start` is, or the empty slot where it belongs. */
  #slotOf(of: Digests, start: number): number {
    const mask = this.#slots.length - 1;
    const end = start + this.#size;
    for (let slot = this.#hash(of.words, start / 2) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] as number;
      if (entry === 0) return slot;
      const at = this.#start(entry - 1);
      if (this.#chunk(entry - 1).bytes.compare(of.bytes, start, end, at, at + this.#size) === 0) return slot;
    }
  }

  /**
   * Names are chosen by whoever writes files: where two of them meet must not be predictable, whatever they share. With
   * random factors the sum of all their parts, modulo a prime, is the same for two names with a chance of one in the
   * prime.
   */
  #hash(words: Uint16Array, at: number): number {
    const factors = this.#factors;
    let sum = 0;
    for (let i = 0; i < factors.length; i++) sum += (factors[i] as number) * (words[at + i] as number);
    const high = Math.floor(sum / 2 ** 31);
    const folded = high + (sum - high * 2 ** 31);
    return folded >= PRIME ? folded - PRIME : folded;
  }

  #insert(index: number): void {
    this.#slots[this.#slotOf(this.#chunk(index), this.#start(index))] = index + 1;
  }

  #rehash(): void {
    this.#slots = new Int32Array(2 * this.#slots.length);
    for (let index = 0; index < this.count; index++) this.#insert(index);
  }
}

/** Digests one after the other, as bytes and as the parts they are hashed by. */
interface Digests {
  bytes: Buffer;
  words: Uint16Array;
}

function digests(length: number): Digests {
  const bytes = Buffer.allocUnsafeSlow(length);
  return { bytes, words: new Uint16Array(bytes.buffer) };
}

/** Objects by folder, and what lies among them that is none. */
export interface ObjectListing {
  table: ObjectTable;
  /**
   * `ends[i]`: the objects of folder `i` are numbered from `ends[i - 1]` (0 for the first) up to, not including, this.
   */
  ends: number[];
  /** Paths below the repository of files that are not objects; sorted. */
  foreign: ByteString[];
}

/** Lists all objects. @throws the file system's error when a folder cannot be read */
export async function listObjectTable(repository: Repository, signal?: AbortSignal): Promise<ObjectListing> {
  const table = new ObjectTable(repository.algorithm);
  const rest = new RegExp(`^[0-9a-f]{${2 * DIGEST_SIZE[repository.algorithm] - 2}}$`);
  const ends: number[] = [];
  const folders = new Set<ByteString>(FAN_OUT);
  const foreign = listDirectory(repository.root, OBJECTS).flatMap((name) =>
    folders.has(name) ? [] : [pathAmongObjects(name)],
  );
  for (const first of FAN_OUT) {
    signal?.throwIfAborted();
    await new Promise(setImmediate);
    for (const name of listFolder(repository, first, foreign)) {
      if (rest.test(name)) table.add(first + name);
      else foreign.push(pathAmongObjects(`${first}/${name}`));
    }
    ends.push(table.count);
  }
  return { table, ends, foreign: foreign.sort() };
}

function listFolder(repository: Repository, first: ByteString, foreign: ByteString[]): ByteString[] {
  try {
    // Their order does not matter, and sorting would take longer than all the rest.
    using dir = openDirectory(repository.root, pathAmongObjects(first));
    return files.readdir(dir.number);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    if (!isErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    foreign.push(pathAmongObjects(first));
    return [];
  }
}

function grown(marks: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * marks.length);
  larger.set(marks);
  return larger;
}
