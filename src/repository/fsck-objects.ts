import type { ByteString } from '../bytes.js';
import { isErrno, type Fd } from '../fd/fd.js';
import { loadNative } from '../native.js';
import type { FsckReport, FsckKind } from './fsck-report.js';
import { openDirectory } from './links.js';
import { DIGEST_SIZE, KERNEL_ALGORITHM, type Algorithm, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

/** Path below `objects/`, one of `KINDS` by its index, and what the kernel or the hash said. */
type Defect = [path: ByteString, kind: number, detail: string];

const { checkObjects: check, missingDigests } = loadNative<{
  checkObjects(objects: number, algorithm: number, verityRequired: boolean, namesOnly: boolean, cancelled: Uint8Array): Promise<{ ids: Buffer; defects: Defect[] }>;
  missingDigests(known: Buffer, size: number, wanted: Buffer): number[];
}>();

const INVALID_NAME = 0;
const KINDS: readonly FsckKind[] = ['object-invalid-name', 'object-open-failed', 'object-verity-failed', 'object-verity-missing', 'object-digest-mismatch'];
const MISMATCH = 4;

/** The objects a repository has, by their names: some 64 bytes for each. */
export class ObjectNames {
  readonly #ids: Buffer;
  readonly #size: number;

  /** @param ids digests in ascending order */
  constructor(ids: Buffer, algorithm: Algorithm) {
    this.#ids = ids;
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

/** Finds out the names of all objects, without opening any. */
export async function listObjectNames(repository: Repository, signal?: AbortSignal): Promise<ObjectNames> {
  return new ObjectNames((await run(repository, true, signal)).ids, repository.algorithm);
}

/**
 * Reads every object, on all processors, and reports whose digest is not the one in its name, and what is no object. Where the kernel
 * vouches for the digest the content is only read, as then the kernel finds damage. Nothing is followed: a symlink is damage.
 * @throws the signal's reason; BridgeError's code of a failure that is not one object's, such as no more descriptors
 */
export async function checkObjects(repository: Repository, report: FsckReport, signal?: AbortSignal): Promise<void> {
  const { ids, defects } = await run(repository, false, signal);
  report.objects.checked += ids.length / DIGEST_SIZE[repository.algorithm];
  for (const [path, kind, detail] of defects) {
    if (kind === INVALID_NAME) report.objects.checked++;
    report.objects.corrupted++;
    report.add(KINDS[kind] as FsckKind, `objects/${path}`, detail === '' ? undefined : kind === MISMATCH ? `measured ${detail}` : detail);
  }
}

async function run(repository: Repository, namesOnly: boolean, signal: AbortSignal | undefined): Promise<{ ids: Buffer; defects: Defect[] }> {
  signal?.throwIfAborted();
  let folder: Fd;
  try {
    folder = openDirectory(repository.root, 'objects');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { ids: Buffer.alloc(0), defects: [] };
    throw error;
  }
  const cancelled = new Uint8Array(1);
  const cancel = (): void => void Atomics.store(cancelled, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    using owned = folder;
    const result = await check(owned.number, KERNEL_ALGORITHM[repository.algorithm], repository.verityRequired, namesOnly, cancelled);
    signal?.throwIfAborted();
    return result;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
