import { join } from 'node:path';
import * as z from 'zod';
import { parseJson, readIfThere, readNamed, type ConfigFile, type Surroundings } from '../storage/containers-config.js';
import { FormatError } from '../errors.js';
import type { RepositoryName } from '../spec/reference.js';
import type { Credentials } from './credentials.js';

const entrySchema = z.object({ auth: z.string().nullish(), identitytoken: z.string().nullish() });

const fileSchema = z.object({
  auths: z.record(z.string(), entrySchema).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});

const oldSchema = z.record(z.string(), entrySchema);

type Entry = z.output<typeof entrySchema>;

export interface AuthFile {
  path: string;
  auths: Readonly<Record<string, Entry>>;
  /** which program to ask, by host */
  credHelpers: Readonly<Record<string, string>>;
  /** which program to ask for all hosts this file has anything of */
  credsStore: string | undefined;
}

const DOCKER_HUB_HOSTS: readonly string[] = ['docker.io', 'registry-1.docker.io', 'index.docker.io'];
/** Under this name docker keeps what it knows about Docker Hub. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/**
 * The files with credentials that are there, in podman's order.
 * @param named the only one to look into, from the command line
 * @throws NotFoundError for a file that somebody named; FormatError `BAD_CONFIG`, without anything of its content
 */
export function readAuthFiles(surroundings: Surroundings, named?: string): AuthFile[] {
  const { env, uid, home, systemRoot: root = '/' } = surroundings;
  if (named !== undefined) return [parseFile(readNamed(named, 'the command line'))];
  if (env['REGISTRY_AUTH_FILE']) return [parseFile(readNamed(env['REGISTRY_AUTH_FILE']))];
  const run = env['XDG_RUNTIME_DIR']
    ? join(env['XDG_RUNTIME_DIR'], 'containers')
    : join(root, '/run/containers', String(uid));
  const files = [
    join(run, 'auth.json'),
    join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'containers/auth.json'),
    join(env['DOCKER_CONFIG'] || join(home, '.docker'), 'config.json'),
  ].flatMap((path) => read(path, parseFile));
  return [...files, ...read(join(home, '.dockercfg'), parseOldFile)];
}

/** What a file itself knows about a repository; an entry without content is none. @throws FormatError `BAD_CONFIG` */
export function credentialsIn(file: AuthFile, name: RepositoryName): Credentials | undefined {
  for (const key of keysFor(name)) {
    if (!Object.hasOwn(file.auths, key)) continue;
    const credentials = decode(file.auths[key] as Entry, key, file.path);
    if (credentials !== undefined) return credentials;
  }
  const host = normalHost(name.host);
  for (const [key, entry] of Object.entries(file.auths)) {
    if (normalHost(key) !== host || keyHasPath(key)) continue;
    const credentials = decode(entry, key, file.path);
    if (credentials !== undefined) return credentials;
  }
  return undefined;
}

/** Which program a file says to ask about a host, and what to ask it for. */
export function helperIn(file: AuthFile, { host }: RepositoryName): { helper: string; server: string } | undefined {
  const normal = normalHost(host);
  const key = Object.hasOwn(file.credHelpers, host)
    ? host
    : Object.keys(file.credHelpers).find((candidate) => normalHost(candidate) === normal);
  const helper = key === undefined ? undefined : file.credHelpers[key];
  return helper && key ? { helper, server: key } : undefined;
}

/** The program that keeps a whole file's credentials, if the host is one the file has heard of. */
export function storeIn(file: AuthFile, { host }: RepositoryName): { helper: string; server: string } | undefined {
  if (!file.credsStore) return undefined;
  const normal = normalHost(host);
  // Docker asks its store for any host; of the other files only those entries count which were left empty for it.
  const known = Object.keys(file.auths).find((key) => normalHost(key) === normal);
  if (known === undefined && !file.path.endsWith('config.json')) return undefined;
  return { helper: file.credsStore, server: known ?? (DOCKER_HUB_HOSTS.includes(host) ? DOCKER_HUB_KEY : host) };
}

function read(path: string, parse: (file: ConfigFile) => AuthFile): AuthFile[] {
  const text = readIfThere(path);
  return text === undefined ? [] : [parse({ path, text })];
}

function parseFile(file: ConfigFile): AuthFile {
  // Podman leaves an empty file behind when the last user has logged out.
  const { auths, credHelpers, credsStore } = file.text.trim() === '' ? {} : parseJson(fileSchema, file);
  return { path: file.path, auths: auths ?? {}, credHelpers: credHelpers ?? {}, credsStore: credsStore ?? undefined };
}

function parseOldFile(file: ConfigFile): AuthFile {
  return { path: file.path, auths: parseJson(oldSchema, file), credHelpers: {}, credsStore: undefined };
}

/** `host/a/b`, `host/a`, `host`. */
function keysFor({ host, path }: RepositoryName): string[] {
  const keys = [];
  for (let key = `${host}/${path}`; ; key = key.slice(0, key.lastIndexOf('/'))) {
    keys.push(key);
    if (key === host) return keys;
  }
}

/** Docker writes keys as URLs; all names of Docker Hub are one. */
function normalHost(key: string): string {
  const host = key.replace(/^https?:\/\//, '').split('/', 1)[0] as string;
  return DOCKER_HUB_HOSTS.includes(host) ? 'index.docker.io' : host;
}

/**
 * A key for one namespace must not give its password to another; the paths of URLs are only versions of the protocol.
 */
function keyHasPath(key: string): boolean {
  return !/^https?:\/\//.test(key) && key.includes('/') && !/^[^/]+\/v[12]\/?$/.test(key);
}

function decode({ auth, identitytoken }: Entry, key: string, path: string): Credentials | undefined {
  if (identitytoken) return { kind: 'identity', token: identitytoken };
  if (!auth) return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) throw new FormatError('BAD_CONFIG', `${path}: auths.${key}.auth is not the base64 of USER:PASSWORD`);
  const password = text.slice(colon + 1).replace(/\0+$/, '');
  return { kind: 'basic', username: text.slice(0, colon), password };
}
