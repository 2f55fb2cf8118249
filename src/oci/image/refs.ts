// How a config names the EROFS images made of it: its stream those that were stored, its label the one it was sealed
// with.
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { ImageConfig } from '../../spec/manifest.js';

const PREFIX = 'composefs.image';
const KEEP_USER_XATTRS = '.xattrs=keep-user-xattrs';

/** Which of an image's EROFS images. */
export interface ImageKind {
  version: ErofsVersion;
  /** the one for booting: `/boot` and `/sysroot` emptied, SELinux labels set */
  boot: boolean;
  /** made with `user.*` xattrs kept; only boot images are told apart by this */
  keepUserXattrs: boolean;
}

/** The reference's name. Versions 0 and 1 share one, as they are the same to the kernel. */
export function imageRefName(kind: ImageKind): string {
  const version = kind.version === 2 ? '' : '.v1';
  return `${PREFIX}${kind.boot ? '.boot' : ''}${version}${kind.boot && kind.keepUserXattrs ? KEEP_USER_XATTRS : ''}`;
}

/** The references to EROFS images among those of a config stream, the plain ones before the boot ones, sorted. */
export function imageRefs(namedRefs: ReadonlyMap<string, ObjectId>): Map<string, ObjectId> {
  const names = [...namedRefs.keys()].filter((name) => name === PREFIX || name.startsWith(`${PREFIX}.`));
  const boot = (name: string): boolean => name.startsWith(`${PREFIX}.boot`);
  names.sort((a, b) => Number(boot(a)) - Number(boot(b)) || (a < b ? -1 : 1));
  return new Map(names.map((name) => [name, namedRefs.get(name) as ObjectId]));
}

/** Names the EROFS image that a sealed image was built for. */
const SEAL_LABEL = 'containers.composefs.fsverity';

/** The EROFS image that a container image was sealed with. */
export function sealOf(config: ImageConfig): ObjectId | undefined {
  return config.config?.Labels?.[SEAL_LABEL];
}
