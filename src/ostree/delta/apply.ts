import { FormatError, NotFoundError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { Repository } from '../../repository/repository.js';
import type { Checksum } from '../object/checksum.js';
import type { OnProgress } from '../pull/fetch-commit.js';
import { measuredFile } from '../pull/measured-source.js';
import { completeStream, readCommit, type StoredCommit } from '../stream/read-commit.js';
import { applyPart, type DeltaBase, type DeltaTarget } from './apply-part.js';
import { inPlace } from '../in-place.js';
import { FileRange, MemoryRange } from './byte-range.js';
import { deltaFolder } from './names.js';
import { fetchPart, openPart } from './part.js';
import type { Superblock } from './superblock.js';

/** Gives the bytes of a part that is not in the superblock, as they are stored. */
export type PartReader = (index: number, signal: AbortSignal) => AsyncIterable<Buffer>;

/**
 * Makes all objects that the parts of a delta bring, and the commit. The next part is fetched while one is worked on.
 * Memory does not depend on the size of files.
 * @param base the files of the commit that the superblock says the delta is from
 * @param folder where files without a name are made, on a disk
 * @param target verifies and takes the objects
 * @param onPart called after each part
 * @throws FormatError `OSTREE_DELTA`, `OSTREE_GVARIANT`, `COMPRESSION`; DigestMismatchError; what `readPart` and the
 *   target throw; the signal's reason
 */
export async function applyDeltaParts(
  superblock: Superblock,
  base: DeltaBase,
  folder: Fd,
  readPart: PartReader,
  target: DeltaTarget,
  signal: AbortSignal,
  onPart: (index: number) => void = () => undefined,
): Promise<void> {
  const { parts, from, to } = superblock;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const fetch = async (index: number): Promise<Fd> => {
    const part = parts[index]!;
    return fetchPart(folder, part, part.inline?.blocks(either) ?? readPart(index, either));
  };
  let next = parts.length > 0 ? fetch(0) : undefined;
  try {
    for (const [index, part] of parts.entries()) {
      try {
        const stored = await next!;
        next = undefined;
        if (index + 1 < parts.length) {
          next = fetch(index + 1);
          // Its error is seen when its turn comes.
          next.catch(() => undefined);
        }
        using open = await openPart(folder, part, stored, signal);
        await applyPart(open, part.objects, base, target, signal);
        await target.settle();
      } catch (error) {
        throw inPlace(error, `${deltaFolder(from, to)}/${index}`);
      }
      onPart(index);
    }
    target.addMetadata('commit', superblock.to, superblock.commit);
  } finally {
    stop.abort();
    await next?.then(
      (file) => file.close(),
      () => undefined,
    );
  }
}

/** What a delta is from. */
interface StoredBase extends DeltaBase {
  readonly commit: StoredCommit | undefined;
}

/**
 * The commit that a delta is from, and its files.
 * @param from undefined: none
 * @throws NotFoundError when the repository does not have it; FormatError for a damaged one
 */
export async function readBase(
  repository: Repository,
  from: Checksum | undefined,
  signal: AbortSignal,
): Promise<StoredBase> {
  const { objects } = repository;
  if (from !== undefined && completeStream(repository, from) === undefined)
    throw new NotFoundError(`base commit ${from} not found in repository`);
  const commit = from === undefined ? undefined : await readCommit(repository, from, signal);
  const base = commit?.objects;
  return {
    commit,
    open: (id) => {
      if (base?.find(id) === undefined)
        throw new FormatError('OSTREE_DELTA', `the delta makes a file of file ${id}, which its base does not have`);
      const { inline, object, size } = base.file(id);
      if (object === undefined) return Object.assign(new MemoryRange(inline), { [Symbol.dispose]: () => undefined });
      const file = objects.open(object);
      return Object.assign(new FileRange(file, 0, Number(size)), { [Symbol.dispose]: () => file.close() });
    },
  };
}

interface CountingTarget {
  readonly target: DeltaTarget;
  /** how many objects it took */
  readonly counts: { metadata: number; files: number };
  /** of the pull that brings the rest */
  readonly onProgress: OnProgress;
}

/** The same target, which counts what it takes. @param onProgress is told of that, and of what comes after it */
export function counting(target: DeltaTarget, { parts }: Superblock, onProgress?: OnProgress): CountingTarget {
  const counts = { metadata: 0, files: 0 };
  let filesLeft = parts.flatMap(({ objects }) => objects).filter(({ kind }) => kind === 'file').length;
  let bytes = 0;
  const onBytes = (count: number): void => {
    bytes += count;
    onProgress?.({ ...counts, reused: 0, filesLeft, bytes });
  };
  return {
    counts,
    target: {
      addMetadata: (kind, id, content) => {
        target.addMetadata(kind, id, content);
        counts.metadata++;
        onBytes(content.length);
      },
      addFile: async (id, file) => {
        await target.addFile(id, measuredFile(file, onBytes));
        counts.files++;
        filesLeft--;
      },
      settle: () => target.settle(),
    },
    onProgress: (rest) =>
      onProgress?.({
        ...rest,
        metadata: counts.metadata + rest.metadata,
        files: counts.files + rest.files,
        bytes: bytes + rest.bytes,
      }),
  };
}
