import type { ByteString } from '../bytes.js';
import { isErrno, type Fd } from '../fd/fd.js';
import { loadNative } from '../native.js';
import type { FsckReport, FsckKind } from './fsck-report.js';
import { compareBytes, openDirectory } from './links.js';
import { DIGEST_SIZE, KERNEL_ALGORITHM, type Algorithm, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

/** Path below `objects/`, one of `KINDS` by its index, and what the kernel or the hash said. */
type Defect = [path: ByteString, kind: number, detail: string];

/** Digests in ascending order, where each object is, as the addon wants it, and paths below `objects/` of what is no object. */
interface Listed {
  ids: Buffer;
  places: Buffer;
  others: ByteString[];
}

const { checkObjects: check, listObjects, missingDigests } = loadNative<{
  listObjects(objects: number, algorithm: number, cancelled: Uint8Array): Promise<Listed>;
  checkObjects(objects: number, algorithm: number, listed: Listed, verityRequired: boolean, cancelled: Uint8Array): Promise<Defect[]>;
  missingDigests(known: Buffer, size: number, wanted: Buffer): number[];
}>();

const KINDS: readonly FsckKind[] = ['object-open-failed', 'object-verity-failed', 'object-verity-missing', 'object-digest-mismatch'];
const MISMATCH = 3;

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

  get count(): number {
    return this.#ids.length / this.#size;
  }

  has(id: ObjectId): boolean {
    return id.length === 2 * this.#size && this.missing(Buffer.from(id, 'hex')).length === 0;
  }

  /** Those among some digests, one after the other, that are not here; sorted, each once. */
  missing(digests: Buffer): ObjectId[] {
    const ids = missingDigests(this.#ids, this.#size, digests).map((index) => digests.toString('hex', index * this.#size, (index + 1) * this.#size));
    return [...new Set(ids)].sort();
  }
}

/** Finds out the names of all objects, without opening any. @throws the signal's reason; an error with `code` of a folder that cannot be read */
export async function listObjectNames(repository: Repository, signal?: AbortSignal): Promise<ObjectNames> {
  const listed = await onObjects(repository, signal, (folder, cancelled) => listObjects(folder, KERNEL_ALGORITHM[repository.algorithm], cancelled));
  return new ObjectNames(listed ?? { ids: Buffer.alloc(0), places: Buffer.alloc(0), others: [] }, repository.algorithm);
}

/**
 * Reads every object, on all processors, and reports whose digest is not the one in its name, and what is no object. Where the kernel
 * vouches for the digest the content is only read, as then the kernel finds damage. Nothing is followed: a symlink is damage.
 * @param names of the objects to read
 * @throws the signal's reason; BridgeError's code of a failure that is not one object's, such as no more descriptors
 */
export async function checkObjects(repository: Repository, names: ObjectNames, report: FsckReport, signal?: AbortSignal): Promise<void> {
  const { algorithm, verityRequired } = repository;
  const { listed } = names;
  const defects = (await onObjects(repository, signal, (folder, cancelled) => check(folder, KERNEL_ALGORITHM[algorithm], listed, verityRequired, cancelled))) ?? [];
  const found = [
    ...defects.map(([path, kind, detail]) => ({ path, kind: KINDS[kind] as FsckKind, detail: detail === '' ? undefined : kind === MISMATCH ? `measured ${detail}` : detail })),
    ...listed.others.map((path) => ({ path, kind: 'object-invalid-name' as const, detail: undefined })),
  ];
  report.objects.checked += names.count + listed.others.length;
  report.objects.corrupted += found.length;
  for (const { path, kind, detail } of found.sort((a, b) => compareBytes(a.path, b.path))) report.add(kind, `objects/${path}`, detail);
}

/** @returns undefined when there is no folder of objects */
async function onObjects<T>(repository: Repository, signal: AbortSignal | undefined, work: (folder: number, cancelled: Uint8Array) => Promise<T>): Promise<T | undefined> {
  signal?.throwIfAborted();
  let folder: Fd;
  try {
    folder = openDirectory(repository.root, 'objects');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const cancelled = new Uint8Array(1);
  const cancel = (): void => void Atomics.store(cancelled, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    using owned = folder;
    const result = await work(owned.number, cancelled);
    signal?.throwIfAborted();
    return result;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
