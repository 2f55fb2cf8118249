// Where the containers' tools keep their configuration files.
import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as z from 'zod';
import { bytesOf } from '../bytes.js';
import { debug } from '../debug.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { readWhole, UnfitFileError } from '../fd/read-whole.js';
import { CONTAINERS_CONFIG_LIMIT } from '../limits.js';
import { parseStrictJson } from '../spec/strict-json.js';

/** Whose configuration is read. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  /** the real user: 0 for root, the user's own number also inside `podman unshare` */
  uid: number;
  home: string;
  /** put before /etc and /usr/share, to read the configuration of a tree that is not the running system */
  systemRoot?: string;
}

export interface ConfigFile {
  path: string;
  text: string;
}

export interface ConfigKind {
  name: 'storage' | 'registries';
  /** for messages: what is in it, and what to do when it cannot be read */
  says: string;
  advice: string;
}

/** The process's own surroundings. Inside `podman unshare` the user still is the one who called it. */
export function ownSurroundings(env: NodeJS.ProcessEnv = process.env): Surroundings {
  const outside = Number(env['_CONTAINERS_ROOTLESS_UID']);
  const inNamespace = Boolean(env['_CONTAINERS_USERNS_CONFIGURED']) && Number.isInteger(outside);
  return { env, uid: inNamespace ? outside : (process.getuid?.() ?? 0), home: env['HOME'] || homedir() };
}

/**
 * The files of a configuration that count, lowest first: one main file, drop-ins over it, an override last. The
 * environment's CONTAINERS_NAME_CONF stands for main file and drop-ins, CONTAINERS_NAME_CONF_OVERRIDE is the override.
 * Source: containers/storage pkg/configfile/parse.go.
 * @throws NotFoundError for a file the environment names; BridgeError `BAD_CONFIG` for one that cannot be read
 */
export function configFiles(surroundings: Surroundings, kind: ConfigKind): ConfigFile[] {
  const { env } = surroundings;
  const variable = `CONTAINERS_${kind.name.toUpperCase()}_CONF`;
  const only = env[variable];
  const files = only
    ? [readNamed(only, undefined, kind)]
    : [
        ...mainFile(surroundings, kind),
        ...dropInFiles(surroundings, { stem: kind.name, middle: '.conf', extension: '.conf' }, kind),
      ];
  const override = env[`${variable}_OVERRIDE`];
  if (override) files.push(readNamed(override, undefined, kind));
  debug(() => `${kind.name}.conf: read ${files.map(({ path }) => path).join(', ') || 'nothing, there is none'}`);
  return files;
}

/** The user's, the administrator's, the distribution's: highest first. */
export function configDirs(surroundings: Surroundings): [user: string, ...system: string[]] {
  const { env, home, systemRoot: root = '/' } = surroundings;
  return [
    join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'containers'),
    join(root, '/etc/containers'),
    join(root, '/usr/share/containers'),
  ];
}

/**
 * A file that somebody named.
 * @param who did
 * @throws NotFoundError
 */
export function readNamed(path: string, who = 'the environment', kind?: ConfigKind): ConfigFile {
  const text = readIfThere(path, kind);
  if (text === undefined) throw new NotFoundError(`${who} names ${path} as configuration, which does not exist`);
  return { path, text };
}

/** @throws BridgeError `BAD_CONFIG` when it is there and cannot be read */
export function readIfThere(path: string, kind?: ConfigKind): string | undefined {
  try {
    return readWhole(bytesOf(path), CONTAINERS_CONFIG_LIMIT).toString('utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw unreadable(path, error, kind);
  }
}

/** @throws FormatError `BAD_CONFIG` naming the file and what in it is wrong */
export function parseToml<T>(schema: z.ZodType<T>, { path, text }: ConfigFile): T {
  return checkConfig(schema, path, () => parse(text));
}

/** The same for JSON that repeats no key. */
export function parseJsonStrictly<T>(schema: z.ZodType<T>, { path, text }: ConfigFile): T {
  return checkConfig(schema, path, () => parseStrictJson(text));
}

/** @throws FormatError `BAD_CONFIG` naming the file and what in it is wrong, but no values: they may be passwords */
export function parseJson<T>(schema: z.ZodType<T>, { path, text }: ConfigFile): T {
  return checkConfig(schema, path, () => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // The message of this error quotes the text.
      throw new Error('it is not JSON');
    }
  });
}

/**
 * Checks the shape of what was parsed.
 * @throws FormatError `BAD_CONFIG` naming the file and what in it is wrong
 */
export function checkConfig<T>(schema: z.ZodType<T>, path: string, read: () => unknown): T {
  let value: unknown;
  try {
    value = read();
  } catch (cause) {
    throw new FormatError('BAD_CONFIG', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new FormatError('BAD_CONFIG', `${path}: ${issue?.path.join('.')}: ${issue?.message}`, { cause: result.error });
}

function mainFile(surroundings: Surroundings, kind: ConfigKind): ConfigFile[] {
  for (const dir of configDirs(surroundings)) {
    const path = join(dir, `${kind.name}.conf`);
    const text = readIfThere(path, kind);
    if (text !== undefined) return [{ path, text }];
  }
  return [];
}

/** How the folders with drop-ins of a configuration are called, and the files in them. */
export interface DropIns {
  /** folders are `STEM MIDDLE.d`, and with `.rootful` or `.rootless` behind the stem */
  stem: string;
  middle: string;
  extension: string;
}

/**
 * Drop-ins apply in the order of their names; of equal names the one in the higher directory counts.
 * @throws BridgeError `BAD_CONFIG` for a folder or file that cannot be read
 */
export function dropInFiles(surroundings: Surroundings, names: DropIns, kind?: ConfigKind): ConfigFile[] {
  const { uid } = surroundings;
  const { stem, middle, extension } = names;
  const [user, ...system] = configDirs(surroundings);
  const special =
    uid > 0 ? [`${stem}.rootless${middle}.d/${uid}`, `${stem}.rootless${middle}.d`] : [`${stem}.rootful${middle}.d`];
  const dirs = [
    join(user, `${stem}${middle}.d`),
    ...system.flatMap((dir) => [...special, `${stem}${middle}.d`].map((folder) => join(dir, folder))),
  ];
  return filesIn(dirs, extension, kind) ?? [];
}

/**
 * The files of some folders, the highest folder first, in the order of their names.
 * @returns undefined when there is none of the folders
 */
export function filesIn(dirs: readonly string[], extension: string, kind?: ConfigKind): ConfigFile[] | undefined {
  const paths = new Map<string, string>();
  let there = false;
  for (const dir of dirs) {
    const names = listFiles(dir, extension, kind);
    there ||= names !== undefined;
    for (const file of names ?? []) if (!paths.has(file)) paths.set(file, join(dir, file));
  }
  if (!there) return undefined;
  const sorted = [...paths].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sorted.flatMap(([, path]) => {
    const text = readIfThere(path, kind);
    return text === undefined ? [] : [{ path, text }];
  });
}

function listFiles(dir: string, extension: string, kind?: ConfigKind): string[] | undefined {
  try {
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory() && entry.name.endsWith(extension)).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw unreadable(dir, error, kind);
  }
}

/** Going on without the file would be to do something other than whoever wrote it wanted. */
function unreadable(path: string, cause: unknown, kind?: ConfigKind): unknown {
  if (cause instanceof UnfitFileError) return badConfig(path, cause.message, kind, cause);
  if (!(cause instanceof Error) || !('code' in cause)) return cause;
  const what = isErrno(cause, 'EISDIR')
    ? 'is a folder'
    : isErrno(cause, 'EACCES', 'EPERM')
      ? 'may not be read by this user'
      : `cannot be read (${String(cause.code)})`;
  return badConfig(path, what, kind, cause);
}

function badConfig(path: string, what: string, kind?: ConfigKind, cause?: unknown): BridgeError {
  return new BridgeError(
    'BAD_CONFIG',
    kind === undefined ? `${path} ${what}` : `${path}, which says ${kind.says}, ${what}; ${kind.advice}`,
    { cause },
  );
}
