import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import { bytesOf } from '../../../bytes.js';
import { readErofs } from '../../../erofs/read/reader.js';
import { openPath } from '../../../fd/fd.js';
import { makeCommit } from '../../../ostree/commit/commit-tree.js';
import { publishWithImage } from '../../../ostree/image/commit-image.js';
import { checkCommitRef, writeCommitRef } from '../../../ostree/refs.js';
import type { ErofsVersion } from '../../../erofs/format/options.js';
import type { ObjectId } from '../../../fsverity/object-id.js';
import { resolveImage } from '../../../repository/image-name.js';
import { storeImage } from '../../../repository/store-image.js';
import { erofsVersions } from '../../../repository/meta.js';
import type { Repository } from '../../../repository/repository.js';
import { scanFolder } from '../../../tree/scan-folder.js';
import type { Directory } from '../../../tree/tree.js';
import { readImage } from '../../image-file.js';
import { openRepository } from '../../open-repository.js';
import { defaultTimestamp } from '../../ostree/commit-time.js';
import type { Session } from '../../session.js';
import type { CommitOptions } from './commit.options.js';

/** Most threads that read a folder. */
const THREADS = 64;

/** `ostree commit`: makes a commit of an image or a folder. */
export async function run(session: Session, [source]: [string], options: CommitOptions): Promise<void> {
  const { reference: ref, subject = '' } = options;
  if (ref !== undefined) checkCommitRef(ref);
  const timestamp = options.timestamp ?? defaultTimestamp();
  using repository = await openRepository(session, options, 'write');
  const version = options.erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  const { root, image } = await imageOf(repository, source, version, session.signal);
  const { id, chunk } = await makeCommit(repository, root, { subject, timestamp, ref }, session.signal);
  const { stream } = await publishWithImage(repository, id, chunk, image);
  if (ref !== undefined && writeCommitRef(repository, ref, id)) await repository.sync();
  if (options.json) return await session.out.json({ commit: id, verity: stream, image, ...(ref && { tag: ref }) });
  await session.out.line(`commit  ${id}`);
  await session.out.line(`verity  ${stream}`);
  if (ref !== undefined) await session.out.line(`tagged  ${ref}`);
}

/** The image that the commit is to have, which is the one that it is made of, and what is in that. */
async function imageOf(
  repository: Repository,
  source: string,
  version: ErofsVersion,
  signal: AbortSignal,
): Promise<{ root: Directory; image: ObjectId }> {
  if (!/^\.{0,2}\//.test(source)) {
    const root = readImage(repository, source, (bytes) => readErofs(bytes).root);
    return { root, image: resolveImage(repository, source) };
  }
  const root = await folderTree(repository, source, signal);
  return { root, image: await storeImage(repository.objects, root, { version }) };
}

async function folderTree(repository: Repository, path: string, signal: AbortSignal): Promise<Directory> {
  using folder = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return await scanFolder(folder, {
    xattrs: 'all',
    devices: true,
    hardlinks: true,
    algorithm: repository.algorithm,
    store: repository.objects,
    threads: Math.min(availableParallelism(), THREADS),
    signal,
  });
}
