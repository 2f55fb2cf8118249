import { constants } from 'node:fs';
import type { Abortable } from '../abortable.js';
import { debug } from '../debug.js';
import { bytesOf } from '../bytes.js';
import { Fd, isErrno, openDirectoryPath } from '../fd/fd.js';
import { readWhole, UnfitFileError } from '../fd/read-whole.js';
import { KERNEL_FILE_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { BridgeError } from '../errors.js';
import { idMapWords, parseIdMap, podmanMaps, type IdMapLine, type IdMaps, type User } from './id-maps.js';
import { rangesSource } from './own-ranges.js';

/**
 * The user namespace that podman keeps by its pause process, if that runs, is the user's, and has the user's ids.
 * @param user who the process has to be of
 * @returns a descriptor of the namespace, for setns(2)
 * @throws the signal's reason
 */
export async function pauseNamespace(user: User, { signal }: Abortable = {}): Promise<Fd | undefined> {
  const file = `${process.env['XDG_RUNTIME_DIR'] || `/run/user/${user.uid}`}/libpod/tmp/pause.pid`;
  const pid = /^\d{1,10}$/.exec(readIfThere(bytesOf(file))?.trim() ?? '')?.[0];
  if (pid === undefined) return undefined;
  try {
    // All else is looked up below this folder, which stays that of the process when its number is another's.
    using folder = openDirectoryPath(`/proc/${pid}`);
    const why = await whyNot(folder, user, signal);
    debug(() => `user namespace: podman's pause process ${pid}: ${why ?? 'joined'}`);
    if (why !== undefined) return undefined;
    return new Fd(files.openat2(folder.number, 'ns/user', constants.O_RDONLY, 0, 0));
  } catch (error) {
    // It may end at any time.
    if (!isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) throw error;
    debug(() => `user namespace: podman's pause process ${pid} is gone, or somebody else's`);
    return undefined;
  }
}

/** Why a process is not the one whose namespace to join; a file of the user's says it is, but its number may be old. */
async function whyNot(process: Fd, { uid, gid }: User, signal: AbortSignal | undefined): Promise<string | undefined> {
  const owner = process.stat().uid;
  if (owner !== uid) return `it is of user ${owner}`;
  const maps = { uid: mapOf(process, 'uid_map'), gid: mapOf(process, 'gid_map') };
  for (const [kind, own] of [
    ['uid', uid],
    ['gid', gid],
  ] as const) {
    const [first] = maps[kind];
    if (first?.inside !== 0 || first.outside !== own || first.count !== 1)
      return `${kind} 0 is not user ${uid} in its namespace`;
  }
  const expected = await expectedMaps({ uid, gid }, signal);
  for (const kind of ['uid', 'gid'] as const)
    if (expected !== undefined && idMapWords(maps[kind]).join() !== idMapWords(expected[kind]).join())
      return `its ${kind}_map is not that of ${rangesSource(kind)}; "podman system migrate" makes another`;
  return undefined;
}

/** @returns undefined where nothing is known: podman may know where else to ask for them */
async function expectedMaps(user: User, signal: AbortSignal | undefined): Promise<IdMaps | undefined> {
  try {
    return await podmanMaps(user, signal);
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'USER_NAMESPACE') return undefined;
    throw error;
  }
}

function mapOf(process: Fd, name: 'uid_map' | 'gid_map'): IdMapLine[] {
  using file = new Fd(files.openat2(process.number, name, constants.O_RDONLY, 0, 0));
  return parseIdMap(readWhole(`/proc/self/fd/${file.number}`, KERNEL_FILE_LIMIT).toString('latin1'));
}

function readIfThere(path: string): string | undefined {
  try {
    return readWhole(path, KERNEL_FILE_LIMIT).toString('latin1');
  } catch (error) {
    if (error instanceof UnfitFileError || isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR')) return undefined;
    throw error;
  }
}
