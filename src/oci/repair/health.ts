import { DIGEST_SIZE, type ObjectId } from '../../fsverity/object-id.js';
import type { ByteString } from '../../bytes.js';
import { isObjectFinding, type ObjectFinding } from '../../repository/fsck/findings.js';
import { checkObjects, listObjectNames, type ObjectNames } from '../../repository/fsck/objects.js';
import type { Repository } from '../../repository/repository.js';

/** Something that was damaged or missing and is right now. */
export interface Repaired {
  readonly id: ObjectId;
  /** where the right content came from */
  readonly from: string;
}

/** Which objects are right: as they were found, and as the repair goes on. */
export class Health {
  /** What is wrong with the objects that are there and not right. */
  readonly damaged: ReadonlyMap<ObjectId, ObjectFinding>;
  /** Those whose inode must not be an object's, whatever its content: see `native/hash/sharing.h`. */
  readonly unsafe: ReadonlySet<ObjectId>;
  /** Paths of what lies among the objects and is none. */
  readonly foreign: readonly ByteString[];
  readonly repaired: Repaired[] = [];
  readonly #names: ObjectNames;
  readonly #right = new Set<ObjectId>();

  /** Reads all objects of a repository. */
  static async examine(repository: Repository, signal?: AbortSignal): Promise<Health> {
    const names = await listObjectNames(repository, signal);
    const { findings } = await checkObjects(repository, names, signal);
    return new Health(
      names,
      new Map(findings.filter(isObjectFinding).map((finding) => [finding.object, finding])),
      new Set(findings.flatMap((finding) => (finding.kind === 'object-unsafe' ? [finding.object] : []))),
      findings.flatMap((finding) => (finding.kind === 'object-invalid-name' ? [finding.path] : [])),
    );
  }

  private constructor(
    names: ObjectNames,
    damaged: ReadonlyMap<ObjectId, ObjectFinding>,
    unsafe: ReadonlySet<ObjectId>,
    foreign: readonly ByteString[],
  ) {
    this.#names = names;
    this.damaged = damaged;
    this.unsafe = unsafe;
    this.foreign = foreign;
  }

  isRight(id: ObjectId): boolean {
    return this.#right.has(id) || (this.#names.has(id) && !this.damaged.has(id));
  }

  /** All that are right, among those that were there at first and those that came. */
  *rightObjects(): Generator<ObjectId> {
    for (const id of this.#names) if (this.#right.has(id) || !this.damaged.has(id)) yield id;
    for (const id of this.#right) if (!this.#names.has(id)) yield id;
  }

  /** Those among some digests, one after the other, that are missing or damaged; each once. */
  wrongOf(digests: Buffer, algorithm: Repository['algorithm']): ObjectId[] {
    const size = 2 * DIGEST_SIZE[algorithm];
    const wrong = new Set(this.#names.missing(digests));
    if (this.damaged.size > 0) {
      const hex = digests.toString('hex');
      for (let at = 0; at < hex.length; at += size)
        if (this.damaged.has(hex.slice(at, at + size))) wrong.add(hex.slice(at, at + size));
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
  stillDamaged(): ObjectFinding[] {
    return [...this.damaged.values()].filter(({ object }) => !this.#right.has(object));
  }
}
