import { showBytes, type ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import type { ObjectTable } from './objects.js';
import type { Note } from './problem.js';
import type { Root } from './roots.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { isStreamRef, STREAMS } from '../names.js';
import type { Repository } from '../repository.js';
import { kindOf, scanImage } from '../object-graph/object-graph.js';
import { SplitstreamReader } from '../splitstream/reader.js';

/** Other work gets its turn after so many references. */
const REFS_AT_ONCE = 8192;

/** An object that may refer to others. */
interface Step {
  index: number;
  /** Whether it has to be a splitstream: what such a one refers to is not known when it cannot be read. */
  stream: boolean;
  path: ByteString;
}

/**
 * Marks everything that is reached from roots. References are followed from object to object and need no names: a
 * stream that lost its name to another one still keeps what it refers to. What an object is shows in its first bytes.
 */
export class Walk {
  readonly #pending: Step[] = [];
  /** Objects that were followed already; files that are only kept are not among them. */
  readonly #followed = new Set<number>();
  readonly #repository: Repository;
  readonly #table: ObjectTable;
  readonly #note: Note;
  readonly #signal: AbortSignal | undefined;

  constructor(repository: Repository, table: ObjectTable, note: Note, signal: AbortSignal | undefined) {
    this.#repository = repository;
    this.#table = table;
    this.#note = note;
    this.#signal = signal;
  }

  /**
   * Keeps a root and all it leads to.
   * @throws BridgeError `GC_UNREADABLE` when something cannot be read that may refer to more: nothing must be deleted
   *   then
   */
  async from({ id, area, path }: Root): Promise<void> {
    this.#follow(id, area === STREAMS, path);
    for (let step = this.#pending.pop(); step !== undefined; step = this.#pending.pop()) {
      this.#signal?.throwIfAborted();
      await new Promise(setImmediate);
      await this.#expand(step);
    }
  }

  /** Keeps an object, and looks into it later. */
  #follow(id: ObjectId, stream: boolean, path: ByteString): void {
    const index = this.#table.find(id);
    if (index < 0) {
      this.#note('missing-object', path, `object ${id} is missing`);
      return;
    }
    this.#table.keep(index);
    if (this.#followed.has(index)) return;
    this.#followed.add(index);
    this.#pending.push({ index, stream, path });
  }

  async #expand({ index, stream, path }: Step): Promise<void> {
    const id = this.#table.id(index);
    try {
      using file = this.#repository.objects.open(id);
      const kind = kindOf(file);
      if (stream || kind === 'stream') {
        using reader = SplitstreamReader.open(file.move(), this.#repository.algorithm);
        await this.#stream(reader, path);
      } else if (kind === 'image') {
        const missing = new Missing();
        await scanImage(file, this.#repository.algorithm, (ref) => missing.unless(this.#keep(ref), ref), this.#signal);
        missing.report(this.#note, path);
      } else {
        this.#note('unknown-content', path, `object ${id} is neither a splitstream nor an EROFS image`);
      }
    } catch (error) {
      this.#signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      throw new BridgeError(
        'GC_UNREADABLE',
        `${showBytes(path)} leads to object ${id}, which cannot be read: ${reason}. What it refers to is ` +
          'unknown, so nothing was deleted; repair it, pull the image again, or remove the name that keeps it',
        { cause: error },
      );
    }
  }

  async #stream(reader: SplitstreamReader, path: ByteString): Promise<void> {
    const missing = new Missing();
    for (let i = 0; i < reader.objects.length; i++) {
      const ref = reader.objects.at(i);
      missing.unless(this.#keep(ref), ref);
      if (i % REFS_AT_ONCE === REFS_AT_ONCE - 1) await new Promise(setImmediate);
    }
    missing.report(this.#note, path);
    for (const [name, ref] of reader.namedRefs) this.#follow(ref, isStreamRef(name), `${path}, ${name}`);
  }

  /** Keeps an object that is a file. @returns whether it exists */
  #keep(id: ObjectId): boolean {
    const index = this.#table.find(id);
    if (index >= 0) this.#table.keep(index);
    return index >= 0;
  }
}

/** References of one object to objects that are not there: the first one and how many. */
class Missing {
  #first: ObjectId | undefined;
  #count = 0;

  unless(exists: boolean, id: ObjectId): void {
    if (exists) return;
    this.#first ??= id;
    this.#count++;
  }

  report(note: Note, path: ByteString): void {
    if (this.#first === undefined) return;
    note(
      'missing-object',
      path,
      `object ${this.#first} is missing${this.#count > 1 ? ` (and ${this.#count - 1} more)` : ''}`,
    );
  }
}
