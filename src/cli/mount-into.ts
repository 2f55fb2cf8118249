import { constants } from 'node:fs';
import { bytesOf } from '../bytes.js';
import { openPath, type Fd } from '../fd/fd.js';
import { attachMount } from '../mount/mount.js';
import { mountStored } from '../mount/mount-stored.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { Repository } from '../repository/repository.js';
import { UsageError } from './errors.js';
import type { GlobalOptions } from './session.js';

export interface MountCommandOptions extends GlobalOptions {
  upperdir?: string;
  workdir?: string;
  readWrite?: true;
  idmap?: string;
}

/** Refuses options that need one another. */
export function checkMountOptions({ upperdir, workdir, readWrite }: MountCommandOptions): void {
  if ((upperdir === undefined) !== (workdir === undefined))
    throw new UsageError("options '--upperdir' and '--workdir' require each other");
  if (readWrite && upperdir === undefined)
    throw new UsageError("option '--read-write' requires '--upperdir' and '--workdir'");
}

/** Mounts an image of the repository on a directory; it stays mounted when the program ends. */
export function mountInto(
  repository: Repository,
  id: ObjectId,
  mountpoint: string,
  options: MountCommandOptions,
): void {
  openNamed('mountpoint', mountpoint)?.close();
  using upper = openNamed('--upperdir', options.upperdir);
  using work = openNamed('--workdir', options.workdir);
  using idmap = openNamed('--idmap', options.idmap, constants.O_RDONLY);
  using mount = mountStored(repository, id, {
    upper: upper && work && { upper, work },
    readWrite: options.readWrite === true,
    idmap,
  });
  attachMount(mount, bytesOf(mountpoint));
}

const PROBLEMS: Readonly<Record<string, string>> = { ENOENT: 'does not exist', ENOTDIR: 'is not a directory' };

/** Opens what an argument names; failures say which one it was. */
function openNamed(
  argument: string,
  path: string | undefined,
  flags = constants.O_RDONLY | constants.O_DIRECTORY,
): Fd | undefined {
  if (path === undefined) return undefined;
  try {
    return openPath(bytesOf(path), flags);
  } catch (cause) {
    const problem = cause instanceof Error && 'code' in cause ? PROBLEMS[String(cause.code)] : undefined;
    throw new Error(`${argument} "${path}" ${problem ?? 'cannot be opened'}`, { cause });
  }
}
