import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as z from 'zod';
import { FormatError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';

/** Whose configuration is read. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  /** the real user: 0 for root, the user's own number also inside `podman unshare` */
  uid: number;
  home: string;
  /** put before /etc and /usr/share, to read the configuration of a tree that is not the running system */
  systemRoot?: string;
}

// A list may carry a table that makes it continue the list of the files before it.
const listSchema = z.array(z.union([z.string(), z.object({ append: z.boolean().optional() })]));

const fileSchema = z.object({
  storage: z
    .object({
      driver: z.string().optional(),
      graphroot: z.string().optional(),
      imagestore: z.string().optional(),
      rootless_storage_path: z.string().optional(),
      options: z.object({ additionalimagestores: listSchema.optional() }).optional(),
    })
    .default({}),
});

/** What storage.conf and its drop-ins say together; empty strings count as not said. */
export interface StorageConfig {
  driver?: string | undefined;
  graphroot?: string | undefined;
  imagestore?: string | undefined;
  rootlessStoragePath?: string | undefined;
  additionalImageStores: readonly string[];
}

/**
 * Reads storage.conf the way containers-storage does: one main file, drop-ins over it, an override last.
 * Source: containers/storage pkg/configfile/parse.go.
 * @throws NotFoundError for a file the environment names; FormatError `BAD_CONFIG`
 */
export function readStorageConfig(surroundings: Surroundings): StorageConfig {
  return configFiles(surroundings).reduce(applyFile, { additionalImageStores: [] } as StorageConfig);
}

/** Contents of the files that count, lowest first. */
function configFiles(surroundings: Surroundings): [path: string, text: string][] {
  const { env } = surroundings;
  const only = env['CONTAINERS_STORAGE_CONF'];
  const files = only ? [readNamed(only)] : [...mainFile(surroundings), ...dropIns(surroundings)];
  const override = env['CONTAINERS_STORAGE_CONF_OVERRIDE'];
  if (override) files.push(readNamed(override));
  return files;
}

function mainFile(surroundings: Surroundings): [string, string][] {
  for (const dir of configDirs(surroundings)) {
    const path = join(dir, 'storage.conf');
    const text = readIfThere(path);
    if (text !== undefined) return [[path, text]];
  }
  return [];
}

/** Drop-ins apply in the order of their names; of equal names the one in the higher directory counts. */
function dropIns(surroundings: Surroundings): [string, string][] {
  const { uid } = surroundings;
  const [user, ...system] = configDirs(surroundings);
  const special = uid > 0 ? [`storage.rootless.conf.d/${uid}`, 'storage.rootless.conf.d'] : ['storage.rootful.conf.d'];
  const dirs = [join(user!, 'storage.conf.d'), ...system.flatMap((dir) => [...special, 'storage.conf.d'].map((name) => join(dir, name)))];
  const paths = new Map<string, string>();
  for (const dir of dirs) {
    for (const name of listConfs(dir)) if (!paths.has(name)) paths.set(name, join(dir, name));
  }
  const sorted = [...paths].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sorted.flatMap(([, path]) => {
    const text = readIfThere(path);
    return text === undefined ? [] : [[path, text] as [string, string]];
  });
}

/** The user's, the administrator's, the distribution's: highest first. */
function configDirs(surroundings: Surroundings): string[] {
  const { env, home, systemRoot: root = '/' } = surroundings;
  return [join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'containers'), join(root, '/etc/containers'), join(root, '/usr/share/containers')];
}

function applyFile(config: StorageConfig, [path, text]: [string, string]): StorageConfig {
  let toml: unknown;
  try {
    toml = parse(text);
  } catch (cause) {
    throw new FormatError('BAD_CONFIG', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const result = fileSchema.safeParse(toml);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new FormatError('BAD_CONFIG', `${path}: ${issue?.path.join('.')}: ${issue?.message}`, { cause: result.error });
  }
  const { driver, graphroot, imagestore, rootless_storage_path: rootlessStoragePath, options } = result.data.storage;
  return {
    driver: driver ?? config.driver,
    graphroot: graphroot ?? config.graphroot,
    imagestore: imagestore ?? config.imagestore,
    rootlessStoragePath: rootlessStoragePath ?? config.rootlessStoragePath,
    additionalImageStores: mergeList(config.additionalImageStores, options?.additionalimagestores),
  };
}

function mergeList(before: readonly string[], list: z.output<typeof listSchema> | undefined): readonly string[] {
  if (!list) return before;
  const words = list.filter((item) => typeof item === 'string');
  return list.some((item) => typeof item === 'object' && item.append) ? [...before, ...words] : words;
}

function readNamed(path: string): [string, string] {
  const text = readIfThere(path);
  if (text === undefined) throw new NotFoundError(`the environment names ${path} as configuration, which does not exist`);
  return [path, text];
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function listConfs(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory() && entry.name.endsWith('.conf')).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
