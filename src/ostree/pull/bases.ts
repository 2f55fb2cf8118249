import type { DigestTable } from '../../fsverity/digest-table.js';
import { BridgeError, FormatError } from '../../errors.js';
import { OSTREE_BASES_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import type { ByteString } from '../../bytes.js';
import { ID_SIZE, type Checksum } from '../object/checksum.js';
import { contentIdOf } from '../form.js';
import { listStored } from '../refs.js';
import type { CommitObjects, StoredEntry } from '../stream/commit-objects.js';
import { NO_OBJECT } from '../stream/format.js';
import { findStored, type StoredCommit } from '../stream/read-commit.js';
import type { MetadataKind } from './source.js';

/** Says which files of a commit cannot be taken over, by their places among `files`, which are entries of it. */
export type WrongFiles = (objects: CommitObjects, files: readonly number[]) => Promise<readonly number[]>;

/** Commits of the repository whose objects need not be fetched. */
export class Bases {
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #wrongOf: WrongFiles;
  /** Those that the pull is based on, which come first. */
  readonly #named = new Map<ByteString, CommitObjects>();
  readonly #others = new Map<ByteString, CommitObjects>();
  #size = 0;

  /** @param wrongOf which files cannot be taken over; default: those whose content is not there */
  constructor(
    repository: Repository,
    signal: AbortSignal | undefined,
    wrongOf: WrongFiles = (objects, files) => absentOf(repository, objects, files),
  ) {
    this.#repository = repository;
    this.#signal = signal;
    this.#wrongOf = wrongOf;
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
   * Looks for files whose content is in the repository.
   * @param onFound is told of each where it is, and whether one of the commits that were named has it
   * @returns the numbers of those that have to be fetched
   * @throws BridgeError with the errno's name as `code`
   */
  async files(
    ids: DigestTable,
    numbers: readonly number[],
    onFound: (objects: CommitObjects, index: number, named: boolean) => void,
  ): Promise<readonly number[]> {
    let left = numbers;
    for (const [objects, named] of this.#commits()) {
      const absent: number[] = [];
      const known: number[] = [];
      const places: number[] = [];
      const { bytes } = ids;
      for (const number of left) {
        const index = indexOfSound(objects, bytes, number * ID_SIZE);
        if (index === undefined) {
          absent.push(number);
          continue;
        }
        known.push(number);
        places.push(index);
      }
      const wrong = new Set(places.length === 0 ? [] : await this.#wrongOf(objects, places));
      places.forEach((index, i) => {
        if (wrong.has(i)) absent.push(known[i]!);
        else onFound(objects, index, named);
      });
      left = absent;
    }
    return left;
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

/** Where a commit has a file; undefined when it does not have it, or in damaged form. */
function indexOfSound(objects: CommitObjects, ids: Buffer, at: number): number | undefined {
  const index = objects.indexOf(ids, at);
  if (index === undefined) return undefined;
  try {
    objects.headerAt(index);
    return index;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Those whose content is not in the repository. */
async function absentOf(
  repository: Repository,
  objects: CommitObjects,
  files: readonly number[],
): Promise<readonly number[]> {
  const apart = [...files.keys()].filter((i) => objects.referenceAt(files[i]!) !== NO_OBJECT);
  const digests = objects.references.pick(apart.map((i) => objects.referenceAt(files[i]!)));
  return Array.from(await repository.objects.unusable(digests), (at) => apart[at]!);
}

interface FoundEntry {
  readonly entry: StoredEntry;
  readonly named: boolean;
}
