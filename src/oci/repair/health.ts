import { DIGEST_SIZE, objectPath, type ObjectId } from '../../repository/object-id.js';
import { FsckReport } from '../../repository/fsck-report.js';
import { checkObjects, listObjectNames, type ObjectNames } from '../../repository/fsck-objects.js';
import type { Repository } from '../../repository/repository.js';

/** Something that was damaged or missing and is right now. */
export interface Repaired {
  id: ObjectId;
  /** where the right content came from */
  from: string;
}

/** Which objects are right: as they were found, and as the repair goes on. */
export class Health {
  /** What is wrong with the objects that are there and not right. */
  readonly damaged: ReadonlyMap<ObjectId, string>;
  /** Paths of what lies among the objects and is none. */
  readonly foreign: readonly string[];
  readonly repaired: Repaired[] = [];
  readonly #names: ObjectNames;
  readonly #right = new Set<ObjectId>();

  /** Reads all objects of a repository. */
  static async examine(repository: Repository, signal?: AbortSignal): Promise<Health> {
    const names = await listObjectNames(repository, signal);
    const report = new FsckReport();
    await checkObjects(repository, names, report, signal);
    const damaged = new Map<ObjectId, string>();
    const foreign: string[] = [];
    for (const { kind, path, detail } of report.errors) {
      if (kind === 'object-invalid-name') foreign.push(path);
      else damaged.set(path.slice('objects/'.length).replace('/', ''), detail === undefined ? kind : `${kind}: ${detail}`);
    }
    return new Health(names, damaged, foreign);
  }

  private constructor(names: ObjectNames, damaged: ReadonlyMap<ObjectId, string>, foreign: readonly string[]) {
    this.#names = names;
    this.damaged = damaged;
    this.foreign = foreign;
  }

  isRight(id: ObjectId): boolean {
    return this.#right.has(id) || (this.#names.has(id) && !this.damaged.has(id));
  }

  /** Those among some digests, one after the other, that are missing or damaged; each once. */
  wrongOf(digests: Buffer, algorithm: Repository['algorithm']): ObjectId[] {
    const size = 2 * DIGEST_SIZE[algorithm];
    const wrong = new Set(this.#names.missing(digests));
    if (this.damaged.size > 0) {
      const hex = digests.toString('hex');
      for (let at = 0; at < hex.length; at += size) if (this.damaged.has(hex.slice(at, at + size))) wrong.add(hex.slice(at, at + size));
    }
    return [...wrong].filter((id) => !this.#right.has(id));
  }

  /** Takes down that an object is right, after it was stored and verified. */
  setRight(id: ObjectId, from: string): void {
    if (this.isRight(id)) return;
    this.#right.add(id);
    this.repaired.push({ id, from });
  }

  /** Objects that are there and still not right. */
  stillDamaged(): [id: ObjectId, reason: string][] {
    return [...this.damaged].filter(([id]) => !this.#right.has(id));
  }
}

/** Where an object is, for people. */
export function shownObject(id: ObjectId): string {
  return `objects/${objectPath(id)}`;
}
