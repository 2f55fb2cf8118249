import { randomInt } from 'node:crypto';
import { isErrno } from '../fd/fd.js';
import type { ByteString } from '../bytes.js';
import { files } from '../native.js';
import { listDirectory, openDirectory } from './links.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

const CHUNK = 4096;
const SLOTS = 1 << 12;
const KEPT = 1;

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
  readonly #digests: Buffer[] = [];
  /** Open addressing: 0 for empty, else an object's number plus 1. */
  #slots = new Int32Array(SLOTS);
  #marks = new Uint8Array(CHUNK);
  readonly #probe: Buffer;
  // Names are chosen by whoever writes files, so where two of them meet must not be predictable.
  readonly #factors = [randomInt(2 ** 31) * 2 + 1, randomInt(2 ** 31) * 2 + 1];

  constructor(algorithm: Algorithm) {
    this.#size = DIGEST_SIZE[algorithm];
    this.#probe = Buffer.alloc(this.#size);
  }

  /** Adds an object that is not in the table. */
  add(id: ObjectId): void {
    if (this.count % CHUNK === 0) this.#digests.push(Buffer.allocUnsafeSlow(CHUNK * this.#size));
    if (this.count === this.#marks.length) this.#marks = grown(this.#marks);
    const digest = this.#digest(this.count);
    digest.write(id, 'hex');
    this.count++;
    if (2 * this.count > this.#slots.length) this.#rehash();
    else this.#slots[this.#slotOf(digest)] = this.count;
  }

  /** The number of an object, or -1 when it does not exist. */
  find(id: ObjectId): number {
    if (id.length !== 2 * this.#size) return -1;
    this.#probe.write(id, 'hex');
    return (this.#slots[this.#slotOf(this.#probe)] as number) - 1;
  }

  id(index: number): ObjectId {
    return this.#digest(index).toString('hex');
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

  #digest(index: number): Buffer {
    const at = (index % CHUNK) * this.#size;
    return (this.#digests[Math.floor(index / CHUNK)] as Buffer).subarray(at, at + this.#size);
  }

  /** Where a digest is, or the empty slot where it belongs. */
  #slotOf(digest: Buffer): number {
    const mask = this.#slots.length - 1;
    const [a = 1, b = 1] = this.#factors;
    const hash = Math.imul(digest.readUInt32LE(0), a) ^ Math.imul(digest.readUInt32LE(4), b);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] as number;
      if (entry === 0 || this.#digest(entry - 1).equals(digest)) return slot;
    }
  }

  #rehash(): void {
    this.#slots = new Int32Array(2 * this.#slots.length);
    for (let index = 0; index < this.count; index++) this.#slots[this.#slotOf(this.#digest(index))] = index + 1;
  }
}

/** Objects by folder, and what lies among them that is none. */
export interface ObjectListing {
  table: ObjectTable;
  /** `ends[i]`: the objects of folder `i` are numbered from `ends[i - 1]` (0 for the first) up to, not including, this. */
  ends: number[];
  /** Paths below the repository of files that are no objects; sorted. */
  foreign: ByteString[];
}

/** Lists all objects. @throws the file system's error when a folder cannot be read */
export async function listObjectTable(repository: Repository, signal?: AbortSignal): Promise<ObjectListing> {
  const table = new ObjectTable(repository.algorithm);
  const rest = new RegExp(`^[0-9a-f]{${2 * DIGEST_SIZE[repository.algorithm] - 2}}$`);
  const ends: number[] = [];
  const folders = new Set<ByteString>(FAN_OUT);
  const foreign = listDirectory(repository.root, 'objects').flatMap((name) => (folders.has(name) ? [] : [`objects/${name}`]));
  for (const first of FAN_OUT) {
    signal?.throwIfAborted();
    await new Promise(setImmediate);
    for (const name of listFolder(repository, first, foreign)) {
      if (rest.test(name)) table.add(first + name);
      else foreign.push(`objects/${first}/${name}`);
    }
    ends.push(table.count);
  }
  return { table, ends, foreign: foreign.sort() };
}

function listFolder(repository: Repository, first: ByteString, foreign: ByteString[]): ByteString[] {
  try {
    // Their order does not matter, and sorting would take longer than all the rest.
    using dir = openDirectory(repository.root, `objects/${first}`);
    return files.readdir(dir.number);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    if (!isErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    foreign.push(`objects/${first}`);
    return [];
  }
}

function grown(marks: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * marks.length);
  larger.set(marks);
  return larger;
}
