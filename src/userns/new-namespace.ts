import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { bytesOf, printable } from '../bytes.js';
import { systemCode } from '../errors.js';
import { openPath } from '../fd/fd.js';
import { readWhole } from '../fd/read-whole.js';
import { getXattr } from '../fd/xattrs.js';
import { KERNEL_FILE_LIMIT, LAST_WORDS_LIMIT } from '../limits.js';
import { userNamespaceError } from './error.js';
import { idMapWords, type IdMaps } from './id-maps.js';
import { rangesSource } from './own-ranges.js';

const run = promisify(execFile);
const S_ISUID = 0o4000;

/** The programs that give a process of an ordinary user more ids than its own. */
export interface MapTools {
  uid: string;
  gid: string;
}

/**
 * Finds newuidmap and newgidmap.
 * @throws BridgeError `USER_NAMESPACE` when they are not installed, or could not do it
 */
export function findMapTools(): MapTools {
  return { uid: findMapTool('newuidmap'), gid: findMapTool('newgidmap') };
}

/**
 * Gives a process that has a new user namespace its ids.
 * @throws BridgeError `USER_NAMESPACE` with what the tools say; the signal's reason
 */
export async function writeIdMaps(tools: MapTools, pid: number, maps: IdMaps, signal?: AbortSignal): Promise<void> {
  for (const kind of ['uid', 'gid'] as const) {
    try {
      await run(tools[kind], [String(pid), ...idMapWords(maps[kind])], { signal, maxBuffer: LAST_WORDS_LIMIT });
    } catch (error) {
      signal?.throwIfAborted();
      const said = error instanceof Error && 'stderr' in error ? printable(String(error.stderr).trim()) : '';
      throw userNamespaceError(`${said || `${tools[kind]} failed`}: see ${rangesSource(kind)}`, { cause: error });
    }
  }
}

function findMapTool(name: string): string {
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder || '.', name))
    .find(isThere);
  if (path === undefined)
    throw userNamespaceError(
      `${name} is not installed: the package uidmap has it (Debian, Ubuntu), or shadow-utils (Fedora)`,
    );
  const why = whyPowerless(path);
  if (why !== undefined) throw userNamespaceError(`${path} ${why}`);
  return path;
}

function isThere(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

/** Why a program could not do what only root may, as far as can be seen; undefined when it can. */
function whyPowerless(path: string): string | undefined {
  const status = readWhole('/proc/self/status', KERNEL_FILE_LIMIT).toString('latin1');
  if (/^NoNewPrivs:\s*1$/m.test(status))
    return 'cannot become root here: this process has the flag no_new_privs, as NoNewPrivileges= of systemd sets it';
  const { uid, mode } = statSync(path);
  if (uid === 0 && (mode & S_ISUID) !== 0) return undefined;
  using file = openPath(bytesOf(path));
  if (getXattr(file, 'security.capability') !== undefined) return undefined;
  return 'is not setuid root, and has no file capabilities: install its package again';
}
