import type { ObjectId } from '../../fsverity/object-id.js';
import { BridgeError } from '../../errors.js';
import { OSTREE_BASES_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import type { ByteString } from '../../bytes.js';
import type { Checksum } from '../object/checksum.js';
import { listStored } from '../refs.js';
import type { CommitObjects, StoredEntry, StoredFileEntry } from '../stream/commit-objects.js';
import { findStored } from '../stream/read-commit.js';
import type { MetadataKind } from './source.js';

/** Commits of the repository whose objects need not be fetched. */
export class Bases {
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #isSound: (id: Checksum, file: StoredFileEntry) => boolean;
  /** Those that the pull is based on, which come first. */
  readonly #named = new Map<ByteString, CommitObjects>();
  readonly #others = new Map<ByteString, CommitObjects>();
  #size = 0;

  /** @param isSound whether a file can be taken over; default: when its content is there */
  constructor(
    repository: Repository,
    signal: AbortSignal | undefined,
    isSound = (_: Checksum, { object }: StoredFileEntry): boolean => isPresent(repository, object),
  ) {
    this.#repository = repository;
    this.#signal = signal;
    this.#isSound = isSound;
  }

  /** Adds a commit. One that the repository does not have, or that is damaged, is left out. @param stream its name */
  async add(stream: ByteString | undefined): Promise<void> {
    if (stream === undefined || this.#named.has(stream)) return;
    const objects = this.#others.get(stream) ?? (await this.#read(stream));
    if (objects !== undefined) this.#named.set(stream, objects);
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
    return this.#find(id, (objects, entry) => objects.metadata(kind, entry.id) !== undefined);
  }

  /** A file whose content is in the repository. */
  file(id: Checksum): FoundEntry | undefined {
    return this.#find(id, (objects) => this.#isSound(id, objects.file(id)));
  }

  #find(id: Checksum, isSound: (objects: CommitObjects, entry: StoredEntry) => boolean): FoundEntry | undefined {
    for (const [commits, named] of [
      [this.#named, true],
      [this.#others, false],
    ] as const)
      for (const objects of commits.values()) {
        const entry = objects.find(id);
        if (entry === undefined) continue;
        try {
          if (isSound(objects, entry)) return { entry, named };
        } catch (error) {
          // A damaged commit is as good as none.
          if (!(error instanceof BridgeError)) throw error;
        }
      }
    return undefined;
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

function isPresent(repository: Repository, object: ObjectId | undefined): boolean {
  if (object !== undefined) repository.objects.open(object).close();
  return true;
}

interface FoundEntry {
  readonly entry: StoredEntry;
  readonly named: boolean;
}
