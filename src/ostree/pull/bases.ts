import type { ObjectId } from '../../fsverity/object-id.js';
import { BridgeError, FormatError } from '../../errors.js';
import { OSTREE_BASES_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import type { ByteString } from '../../bytes.js';
import { ID_SIZE, type Checksum } from '../object/checksum.js';
import type { IdTable } from '../object/id-table.js';
import { contentIdOf } from '../form.js';
import { listStored } from '../refs.js';
import { StoredEntry, type CommitObjects, type StoredFileEntry } from '../stream/commit-objects.js';
import { findStored, type StoredCommit } from '../stream/read-commit.js';
import type { MetadataKind } from './source.js';

/** A file of a commit in the repository. */
export interface StoredFile {
  /** of those that were looked for */
  readonly number: number;
  readonly entry: StoredEntry;
  readonly file: StoredFileEntry;
}

/** Commits of the repository whose objects need not be fetched. */
export class Bases {
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #soundOf: (files: readonly StoredFile[]) => Promise<readonly StoredFile[]>;
  /** Those that the pull is based on, which come first. */
  readonly #named = new Map<ByteString, CommitObjects>();
  readonly #others = new Map<ByteString, CommitObjects>();
  #size = 0;

  /** @param soundOf which of these files can be taken over; default: those whose content is there */
  constructor(
    repository: Repository,
    signal: AbortSignal | undefined,
    soundOf = (files: readonly StoredFile[]): Promise<readonly StoredFile[]> => presentOf(repository, files),
  ) {
    this.#repository = repository;
    this.#signal = signal;
    this.#soundOf = soundOf;
  }

  /** Adds a commit. One that the repository does not have, or that is damaged, is left out. @param stream its name */
  async add(stream: ByteString | undefined): Promise<void> {
    if (stream === undefined || this.#named.has(stream)) return;
    const objects = this.#others.get(stream) ?? (await this.#read(stream));
    if (objects !== undefined) this.#named.set(stream, objects);
  }

  /** Adds a commit that was read already. */
  addRead({ id, form, objects }: StoredCommit): void {
    this.#size += objects.size;
    this.#named.set(contentIdOf(id, form), objects);
  }

  /** Adds all other commits, as many as may be in memory. */
  async addOthers(): Promise<void> {
    for (const stream of listStored(this.#repository)) {
      if (this.#size > OSTREE_BASES_LIMIT) return;
      if (this.#named.has(stream)) continue;
      const objects = await this.#read(stream);
      if (objects !== undefined) this.#others.set(stream, objects);
    }
  }

  /** A commit, dirtree or dirmeta, verified. @returns also whether one of the commits that were named has it */
  metadata(kind: MetadataKind, id: Checksum): FoundEntry | undefined {
    for (const [objects, named] of this.#commits()) {
      const entry = objects.find(id);
      if (entry === undefined) continue;
      try {
        objects.metadata(kind, id);
        return { entry, named };
      } catch (error) {
        // A damaged commit is as good as none.
        if (!(error instanceof BridgeError)) throw error;
      }
    }
    return undefined;
  }

  /**
   * Files whose content is in the repository, by their numbers; what is not among them has to be fetched.
   * @throws BridgeError with the errno's name as `code`
   */
  async files(ids: IdTable, numbers: readonly number[]): Promise<Map<number, FoundEntry>> {
    const found = new Map<number, FoundEntry>();
    let left = numbers;
    for (const [objects, named] of this.#commits()) {
      const stored = left.flatMap((number) => storedFile(objects, ids, number) ?? []);
      if (stored.length === 0) continue;
      for (const { entry, number } of await this.#soundOf(stored)) found.set(number, { entry, named });
      left = left.filter((number) => !found.has(number));
    }
    return found;
  }

  *#commits(): Generator<readonly [objects: CommitObjects, named: boolean], void, void> {
    for (const objects of this.#named.values()) yield [objects, true];
    for (const objects of this.#others.values()) yield [objects, false];
  }

  async #read(stream: ByteString): Promise<CommitObjects | undefined> {
    try {
      const objects = (await findStored(this.#repository, stream, this.#signal))?.objects;
      this.#size += objects?.size ?? 0;
      return objects;
    } catch (error) {
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }
}

/** A file of a commit; undefined when that does not have it, or in damaged form. */
function storedFile(objects: CommitObjects, ids: IdTable, number: number): StoredFile | undefined {
  const index = objects.indexOf(ids.bytes, number * ID_SIZE);
  if (index === undefined) return undefined;
  try {
    return { number, entry: new StoredEntry(objects, index), file: objects.fileAt(index) };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Those whose content is in the repository. */
async function presentOf({ objects }: Repository, files: readonly StoredFile[]): Promise<readonly StoredFile[]> {
  const apart = files.filter(({ file }) => file.object !== undefined);
  const absent = await objects.unusable(apart.map(({ file }) => file.object as ObjectId));
  const lost = new Set(Array.from(absent, (index) => apart[index]));
  return lost.size === 0 ? files : files.filter((file) => !lost.has(file));
}

interface FoundEntry {
  readonly entry: StoredEntry;
  readonly named: boolean;
}
