import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { findBootImage } from '../../oci/image/find-boot-image.js';
import { namedTree } from '../../oci/image/named-tree.js';
import type { PullResult } from '../../oci/pull/types.js';
import { erofsVersions } from '../../repository/meta.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { parseObjectId, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import type { XattrMode } from '../../tree/oci-transform.js';
import { ociInterface, type PullParams } from '../../rpc/contracts/oci.js';

/** Which boot image a pull makes: none, one with these xattrs, or whichever has this digest. */
export type BootWish = { kind: 'none' } | { kind: 'made'; xattrs: XattrMode } | { kind: 'expected'; id: ObjectId };

export interface BootImage {
  id: ObjectId;
  xattrs: XattrMode;
  version: ErofsVersion;
}

/** @throws InvalidRequest, InvalidDigest */
export function bootWish({ bootable, expected_digest: expected, xattrs }: PullParams, algorithm: Algorithm): BootWish {
  if (expected != null && !bootable)
    throw ociInterface.error('InvalidRequest', {
      message: 'expected_digest is about the boot image: bootable has to be true',
    });
  if (expected != null && xattrs != null)
    throw ociInterface.error('InvalidRequest', {
      message: 'with expected_digest every way to treat xattrs is tried: xattrs cannot be chosen',
    });
  if (!bootable) return { kind: 'none' };
  if (expected == null)
    return { kind: 'made', xattrs: xattrs === 'KeepUserXattrs' ? 'keep-user-xattrs' : 'allowlist-only' };
  try {
    return { kind: 'expected', id: parseObjectId(expected, algorithm) };
  } catch (error) {
    throw ociInterface.error('InvalidDigest', { message: (error as Error).message });
  }
}

/**
 * The boot image of an image that was pulled, which is made unless the pull did that.
 * @throws BootImageMismatch; what `findBootImage` throws
 */
export async function bootImageOf(
  repository: Repository,
  pulled: PullResult,
  wish: BootWish,
  signal: AbortSignal,
): Promise<BootImage | undefined> {
  if (wish.kind === 'none') return undefined;
  const [version = 1] = erofsVersions(repository.meta);
  const made = pulled.bootImages.get(version);
  if (made !== undefined) return { id: made, xattrs: 'allowlist-only', version };
  const id = wish.kind === 'expected' ? wish.id : await idOf(repository, pulled, wish.xattrs, version, signal);
  const { found, tried } = await findBootImage(repository, pulled.manifestDigest, id, signal);
  if (found === undefined) throw ociInterface.error('BootImageMismatch', { expected: id, tried });
  return { id, ...found };
}

async function idOf(
  repository: Repository,
  { configDigest }: PullResult,
  xattrs: XattrMode,
  version: ErofsVersion,
  signal: AbortSignal,
): Promise<ObjectId> {
  const root = await namedTree(repository, `@${configDigest}`, undefined, { xattrs, bootable: true, signal });
  return verityDigest(writeErofs(root, { version, algorithm: repository.algorithm }), repository.algorithm).toString(
    'hex',
  );
}
