import { dirname } from 'node:path';
import { bytesOf } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { makeBelievedDirectory } from '../fd/believed-path.js';
import type { Fd } from '../fd/fd.js';
import { removeTree } from '../fd/remove-tree.js';
import { files } from '../native.js';
import { linkMeta, metaFile } from './meta-file.js';
import { algorithmName, checkReadable, newMeta, printMeta, type Meta } from './meta.js';
import type { ErofsVersion } from '../erofs/format/options.js';
import { IMAGES, META, OBJECTS, STREAMS, VERIFIED } from './names.js';
import type { Algorithm } from '../fsverity/object-id.js';
import { readMeta } from './read-meta.js';
import { dubiousOwnership, isOwnerBelieved } from './trust.js';
import { firstObject, upgradeRepository } from './upgrade.js';

/** That of the reference's command. */
export const DEFAULT_ALGORITHM: Algorithm = 'sha512';

export interface InitOptions {
  /** Default `DEFAULT_ALGORITHM`. */
  algorithm?: Algorithm;
  /** Default 1: images as the C tools make them. */
  erofsVersion?: ErofsVersion;
  /** Make a repository that works without fs-verity. */
  insecure?: boolean;
  /** Be content with whatever repository is there, as long as it has the algorithm. */
  ensure?: boolean;
  /** Drop meta.json and all names of an existing repository and keep its objects. */
  resetMetadata?: boolean;
  /** Make it also in a folder of somebody who is neither root nor the caller. */
  trust?: boolean;
}

/**
 * Makes a repository: the directory (mode 0700, parents as needed) and meta.json, which appears complete or not at all.
 * @returns `existing` when there already was one like this; `upgraded` when `ensure` met one of the old kind, without
 *   meta.json
 * @throws BridgeError `REPOSITORY_EXISTS` when there is a different one, or objects of another algorithm,
 *   `REPOSITORY_BUSY` when metadata is to be reset while somebody uses it, `DUBIOUS_OWNERSHIP`, `VERITY_UNSUPPORTED`
 *   when the file system cannot protect it; nothing was dropped then
 * @example
 * ```ts
 * import { initRepository } from 'composefs-bridge';
 *
 * // Insecure: for file systems without fs-verity.
 * console.log(initRepository('/srv/images', { insecure: true, ensure: true })); // created
 * ```
 */
export function initRepository(path: string, options: InitOptions = {}): 'created' | 'existing' | 'upgraded' {
  const meta = newMeta(options.algorithm ?? DEFAULT_ALGORITHM, options.erofsVersion ?? 1);
  makeBelievedDirectory(bytesOf(dirname(path)), 0o777).close();
  using root = makeBelievedDirectory(bytesOf(path), 0o700);
  if (!isOwnerBelieved(root, options.trust === true)) throw dubiousOwnership(root, path);
  const existing = options.resetMetadata === true ? undefined : findMeta(root, path);
  if (existing !== undefined) {
    checkSame(path, existing, meta, options);
    return 'existing';
  }
  checkObjects(root, path, meta.algorithm);
  if (options.ensure === true && options.resetMetadata !== true && upgradeRepository(root, path) !== undefined)
    return 'upgraded';
  using file = metaFile(root, path, meta, options.insecure !== true);
  if (options.resetMetadata === true) resetMetadata(root, path);
  linkMeta(root, path, file);
  return 'created';
}

function findMeta(root: Fd, path: string): ReturnType<typeof readMeta> | undefined {
  try {
    const found = readMeta(root, path);
    checkReadable(found.meta);
    return found;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

function checkSame(path: string, existing: { meta: Meta; verity: boolean }, wanted: Meta, options: InitOptions): void {
  const found = existing.meta;
  const sameAlgorithm = found.algorithm === wanted.algorithm;
  if (options.ensure === true ? sameAlgorithm : printMeta(found) === printMeta(wanted)) {
    // Saying "already there" to someone who asked for protection would be a promise nobody keeps.
    if (options.ensure === true || options.insecure === true || existing.verity) return;
    throw new BridgeError('REPOSITORY_EXISTS', `${path} is already initialized, without fs-verity`);
  }
  throw new BridgeError(
    'REPOSITORY_EXISTS',
    `${path} is already initialized differently: ${describe(found)}, not ${describe(wanted)}`,
  );
}

/** Objects are called by their digests: those of another algorithm could neither be used nor removed. */
function checkObjects(root: Fd, path: string, wanted: Algorithm): void {
  const found = firstObject(root)?.algorithm;
  if (found === undefined || found === wanted) return;
  throw new BridgeError(
    'REPOSITORY_EXISTS',
    `${path} has objects with ${algorithmName(found)} digests, not ${algorithmName(wanted)}: give that algorithm ` +
      `and migrate the repository afterwards, or remove ${path}/${OBJECTS} first`,
  );
}

function describe(meta: Meta): string {
  return `${algorithmName(meta.algorithm)}, EROFS format ${meta.erofsFormats?.default ?? 'unset'}`;
}

function resetMetadata(root: Fd, path: string): void {
  if (!files.flock(root.number, 'exclusive'))
    throw new BridgeError('REPOSITORY_BUSY', `${path} is in use: end the programs that have it open and try again`);
  // meta.json first: without it nobody opens what is half removed.
  for (const name of [META, STREAMS, IMAGES, VERIFIED]) removeTree(root, name);
}
