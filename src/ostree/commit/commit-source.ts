import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Abortable } from '../../abortable.js';
import { bytesOf } from '../../bytes.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { readErofs } from '../../erofs/read/reader.js';
import { openPath } from '../../fd/fd.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { resolveImage } from '../../repository/image-name.js';
import { erofsVersions } from '../../repository/meta.js';
import { readNamedImage } from '../../repository/read-named-image.js';
import type { Repository } from '../../repository/repository.js';
import { storeImage } from '../../repository/store-image.js';
import { scanFolder } from '../../tree/scan-folder.js';
import type { Directory } from '../../tree/tree.js';
import { publishWithImage, type PublishedCommit } from '../image/commit-image.js';
import type { Checksum } from '../object/checksum.js';
import { checkCommitRef, writeCommitRef } from '../refs.js';
import { makeCommit } from './commit-tree.js';

/** Most threads that read a folder. */
const THREADS = 64;

export interface CommitSourceOptions extends Abortable {
  /** a name for the commit, which its metadata has, too */
  ref?: string | undefined;
  /** default: none */
  subject?: string | undefined;
  /** seconds since 1970; default: now */
  timestamp?: bigint | undefined;
  /** of the image of a folder; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
}

export interface MadeCommit extends PublishedCommit {
  readonly commit: Checksum;
}

/**
 * Makes a commit of an image of the repository, which is then its image, or of a folder.
 * @param source the digest of an EROFS image, or the name of one; or the path of a folder, with `/`, `./` or `../` in
 *   front
 * @throws NotFoundError; BridgeError `INVALID_NAME`; FormatError for what ostree cannot have, and a damaged image; as
 *   `scanFolder`
 * @example
 * ```ts
 * import { commitSource, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * const { commit } = await commitSource(repository, '/srv/rootfs', { ref: 'made/one', timestamp: 1000n });
 * console.log(commit.length); // 64
 * ```
 */
export async function commitSource(
  repository: Repository,
  source: string,
  { ref, subject = '', timestamp, erofsVersion, signal }: CommitSourceOptions = {},
): Promise<MadeCommit> {
  if (ref !== undefined) checkCommitRef(ref);
  const version = erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  const { root, image } = await imageOf(repository, source, version, signal);
  const { id, chunk } = await makeCommit(repository, root, { subject, timestamp, ref }, signal);
  const published = await publishWithImage(repository, id, chunk, image);
  if (ref !== undefined && writeCommitRef(repository, ref, id)) await repository.sync();
  return { commit: id, ...published };
}

/** The image that the commit is to have, which is the one that it is made of, and what is in that. */
async function imageOf(
  repository: Repository,
  source: string,
  version: ErofsVersion,
  signal: AbortSignal | undefined,
): Promise<{ root: Directory; image: ObjectId }> {
  if (!/^\.{0,2}\//.test(source)) {
    const root = readNamedImage(repository, source, (bytes) => readErofs(bytes).root);
    return { root, image: resolveImage(repository, source) };
  }
  const root = await folderTree(repository, source, signal);
  return { root, image: await storeImage(repository.objects, root, { version }) };
}

async function folderTree(repository: Repository, path: string, signal: AbortSignal | undefined): Promise<Directory> {
  using folder = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return await scanFolder(folder, {
    xattrs: 'all',
    devices: true,
    hardlinks: true,
    algorithm: repository.algorithm,
    store: repository.objects,
    threads: Math.min(availableParallelism(), THREADS),
    ...(signal && { signal }),
  });
}
