import type { ByteString } from '../../bytes.js';
import { CancelFlag } from '../../cancel-flag.js';
import { isErrno, type Fd } from '../../fd/fd.js';
import { DEFECT } from '../../layouts.js';
import { loadNative, type FdNumber } from '../../native.js';
import type { NoObject, ObjectDefect, ObjectFinding } from './findings.js';
import type { FsckCount } from './report.js';
import { compareBytes, openDirectory } from '../links.js';
import { DIGEST_SIZE, KERNEL_ALGORITHM, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';
import { OBJECTS, pathAmongObjects } from '../names.js';
import type { Repository } from '../repository.js';

/** Path below `objects/`, one of `DEFECT`, and what the kernel or the hash said. */
type Defect = [path: ByteString, kind: number, detail: string];

/**
 * Digests in ascending order, where each object is, as the addon wants it, and paths below `objects/` of what is no
 * object.
 */
interface Listed {
  ids: Buffer;
  places: Buffer;
  others: ByteString[];
}

const {
  checkObjects: check,
  listObjects,
  missingDigests,
} = loadNative<{
  listObjects(objects: FdNumber, algorithm: number, cancelled: Uint8Array): Promise<Listed>;
  checkObjects(
    objects: FdNumber,
    algorithm: number,
    listed: Listed,
    verityRequired: boolean,
    cancelled: Uint8Array,
    believed: readonly number[],
  ): Promise<Defect[]>;
  missingDigests(known: Buffer, size: number, wanted: Buffer): number[];
}>();

const KINDS: Readonly<Record<number, ObjectDefect>> = {
  [DEFECT.open]: 'object-open-failed',
  [DEFECT.verity]: 'object-verity-failed',
  [DEFECT.noVerity]: 'object-verity-missing',
  [DEFECT.mismatch]: 'object-digest-mismatch',
  [DEFECT.unsafe]: 'object-unsafe',
};

/** The objects a repository has, by their names: some 70 bytes for each. */
export class ObjectNames {
  readonly listed: Listed;
  readonly #ids: Buffer;
  readonly #size: number;

  constructor(listed: Listed, algorithm: Algorithm) {
    this.listed = listed;
    this.#ids = listed.ids;
    this.#size = DIGEST_SIZE[algorithm];
  }

  *[Symbol.iterator](): Generator<ObjectId> {
    for (let at = 0; at < this.#ids.length; at += this.#size) yield this.#ids.toString('hex', at, at + this.#size);
  }

  get count(): number {
    return this.#ids.length / this.#size;
  }

  has(id: ObjectId): boolean {
    return id.length === 2 * this.#size && this.missing(Buffer.from(id, 'hex')).length === 0;
  }

  /** Those among some digests, one after the other, that are not here; sorted, each once. */
  missing(digests: Buffer): ObjectId[] {
    const ids = missingDigests(this.#ids, this.#size, digests).map((index) =>
      digests.toString('hex', index * this.#size, (index + 1) * this.#size),
    );
    return [...new Set(ids)].sort();
  }
}

/**
 * Finds out the names of all objects, without opening any.
 * @throws the signal's reason; an error with `code` of a folder that cannot be read
 */
export async function listObjectNames(repository: Repository, signal?: AbortSignal): Promise<ObjectNames> {
  const listed = await onObjects(repository, signal, (folder, cancelled) =>
    listObjects(folder, KERNEL_ALGORITHM[repository.algorithm], cancelled),
  );
  return new ObjectNames(listed ?? { ids: Buffer.alloc(0), places: Buffer.alloc(0), others: [] }, repository.algorithm);
}

/** How many objects there are, and what is wrong with them, in the order of their paths. */
export interface CheckedObjects {
  readonly count: FsckCount;
  readonly findings: readonly (ObjectFinding | NoObject)[];
}

/**
 * Reads every object, on all processors, and tells whose digest is not the one in its name, and what is not an object.
 * Where the kernel vouches for the digest the content is only read, as then the kernel finds damage. Nothing is
 * followed: a symlink is damage. So is an object that others may change or that is setuid, see `native/hash/sharing.h`:
 * hard links into a store that are made without a look leave such.
 * @param names of the objects to read
 * @throws the signal's reason; BridgeError's code of a failure that is not one object's, such as no more descriptors
 */
export async function checkObjects(
  repository: Repository,
  names: ObjectNames,
  signal?: AbortSignal,
): Promise<CheckedObjects> {
  const { algorithm, verityRequired } = repository;
  const { listed } = names;
  // The owner of the repository can do anything to it anyway: belonging to the owner is not a defect.
  const believed = [...new Set([...repository.believedUsers, repository.root.stat().uid])];
  const defects =
    (await onObjects(repository, signal, (folder, cancelled) =>
      check(folder, KERNEL_ALGORITHM[algorithm], listed, verityRequired, cancelled, believed),
    )) ?? [];
  const found = [
    ...defects.map((defect) => ({ path: defect[0], finding: objectFinding(defect) })),
    ...listed.others.map((path) => ({
      path,
      finding: { kind: 'object-invalid-name' as const, path: pathAmongObjects(path) },
    })),
  ];
  return {
    count: {
      checked: names.count + listed.others.length,
      corrupted: new Set(found.map(({ path }) => path)).size,
    },
    findings: found.sort((a, b) => compareBytes(a.path, b.path)).map(({ finding }) => finding),
  };
}

function objectFinding([path, kind, said]: Defect): ObjectFinding {
  const reason = kind === DEFECT.mismatch && said !== '' ? `measured ${said}` : said;
  return {
    kind: KINDS[kind] as ObjectDefect,
    object: path.replace('/', ''),
    ...(reason !== '' && { reason }),
  };
}

/**
 * @returns undefined when there is no folder of objects, or something else in its place, which the check of the folders
 *   says
 */
async function onObjects<T>(
  repository: Repository,
  signal: AbortSignal | undefined,
  work: (folder: FdNumber, cancelled: Uint8Array) => Promise<T>,
): Promise<T | undefined> {
  signal?.throwIfAborted();
  let folder: Fd;
  try {
    folder = openDirectory(repository.root, OBJECTS);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
  using owned = folder;
  using cancelled = new CancelFlag(signal);
  const result = await work(owned.number, cancelled.byte);
  signal?.throwIfAborted();
  return result;
}
