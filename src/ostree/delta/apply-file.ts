import { dirname, join } from 'node:path';
import type { Abortable } from '../../abortable.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { bytesOf, printable } from '../../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import { isErrno, openPath, type Fd } from '../../fd/fd.js';
import { readBlocks } from '../../fd/read-file.js';
import { OSTREE_SUPERBLOCK_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import { canonicalForm } from '../form.js';
import { CommitImporter } from '../pull/importer.js';
import type { FetchProgress } from '../pull/fetch-commit.js';
import { pullCommit, type PulledCommit } from '../pull/pull.js';
import type { ObjectSource } from '../pull/source.js';
import { findInForm } from '../stream/read-commit.js';
import { CommitCheck, type CommitCheckOptions } from '../verify/commit-check.js';
import { applyDeltaParts, counting, readBase } from './apply.js';
import { FileRange } from './byte-range.js';
import { namelessFile } from './nameless-file.js';
import { parseSuperblock } from './superblock.js';

const BLOCK = 256 << 10;

export interface ApplyFileOptions extends Abortable, CommitCheckOptions {
  /** the name that the commit gets, for which it must be signed where there are keys */
  ref?: string | undefined;
  /** of the image; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
  onProgress?: (progress: FetchProgress) => void;
}

/**
 * Makes a commit of a static delta that is in files, and of the commit that the delta is from, which has to be in the
 * repository.
 * @param path of the beginning of the delta, `superblock`, which has the parts in it or beside it
 * @throws NotFoundError when there is no such file, or a part is missing, or the base is not in the repository;
 *   BridgeError `OSTREE_DELTA_INCOMPLETE` for a delta that does not bring all objects; FormatError `OSTREE_DELTA`,
 *   `OSTREE_GVARIANT`, `COMPRESSION`; DigestMismatchError; with keys BridgeError `OSTREE_SIGNATURE`, `OSTREE_BINDING`,
 *   `OSTREE_DOWNGRADE`; as `pullCommit`
 * @example
 * ```ts
 * import { applyDeltaFile, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * const { ref, deltaParts } = await applyDeltaFile(repository, '/srv/update/superblock', { ref: 'web/update' });
 * console.log(ref, deltaParts); // web/update 3
 * ```
 */
export async function applyDeltaFile(
  repository: Repository,
  path: string,
  options: ApplyFileOptions = {},
): Promise<PulledCommit> {
  const signal = options.signal ?? new AbortController().signal;
  const check = new CommitCheck(repository, { ...options, signal });
  using opened = openSuperblock(path);
  // What is signed must be what is read afterwards, whatever becomes of the file.
  using file = check.signatures === undefined ? opened.move() : await copied(opened, repository.root, signal);
  const superblock = parseSuperblock(new FileRange(file, 0, file.stat().size));
  const { from, to, fallbacks } = superblock;
  await check.delta(superblock, options.ref);
  const form = canonicalForm(options.form);
  const pull = { ...options, form, signal };
  if ((await findInForm(repository, to, form, signal)) !== undefined)
    return await pullCommit(repository, nothing, to, pull);
  if (fallbacks.length > 0)
    throw new BridgeError(
      'OSTREE_DELTA_INCOMPLETE',
      `cannot apply delta offline: contains ${fallbacks.length} fallback entries`,
    );
  const base = await readBase(repository, from, signal);
  await using importer = new CommitImporter(repository, nothing.policy);
  const { target, counts, onProgress } = counting(importer, superblock, options.onProgress);
  const readPart = (index: number, stop: AbortSignal): AsyncIterable<Buffer> =>
    filePieces(join(dirname(path), `${index}`), stop);
  await applyDeltaParts(superblock, base, repository.root, readPart, target, signal);
  const pulled = await pullCommit(repository, nothing, to, { ...pull, importer, from: base.commit, onProgress });
  return {
    ...pulled,
    metadata: pulled.metadata + counts.metadata,
    files: pulled.files + counts.files,
    deltaParts: superblock.parts.length,
  };
}

function openSuperblock(path: string): Fd {
  try {
    using file = openPath(bytesOf(path));
    const { size } = file.stat();
    if (size > OSTREE_SUPERBLOCK_LIMIT)
      throw new FormatError('FILE_TOO_LARGE', `file of ${size} bytes, at most ${OSTREE_SUPERBLOCK_LIMIT} are accepted`);
    return file.move();
  } catch (cause) {
    if (isErrno(cause, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`opening delta at ${printable(path)}: there is no such file`, { cause });
    throw cause;
  }
}

async function copied(file: Fd, folder: Fd, signal: AbortSignal): Promise<Fd> {
  const pieces = readBlocks(file, 0, file.stat().size, BLOCK, signal);
  const ignore = (): void => undefined;
  return await namelessFile(folder, pieces, 'the beginning of the delta', OSTREE_SUPERBLOCK_LIMIT, ignore, ignore);
}

async function* filePieces(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
  try {
    using file = openPath(bytesOf(path));
    yield* readBlocks(file, 0, file.stat().size, BLOCK, signal);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT'))
      throw new NotFoundError(`a part of the delta, ${printable(path)}, is not there`, { cause });
    throw cause;
  }
}

/** All there is comes out of the delta and its base. */
const nothing: ObjectSource = {
  parallel: 1,
  policy: { take: 'copy', trusted: true },
  metadata: async (kind, id) => {
    throw new NotFoundError(`the delta does not bring ${kind} ${id}, nor does its base have it`);
  },
  file: async (id) => {
    throw new NotFoundError(`the delta does not bring file ${id}, nor does its base have it`);
  },
};
