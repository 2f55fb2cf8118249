import * as z from 'zod';
import { configFiles, parseToml, readNamed, type ConfigKind, type Surroundings } from '../storage/containers-config.js';
import { BridgeError, FormatError } from '../errors.js';
import { parseRepositoryName, showReference, type RegistryReference } from '../spec/reference.js';

const KIND: ConfigKind = {
  name: 'registries',
  says: 'where registries and their mirrors are',
  advice: 'put that right, or name another file in CONTAINERS_REGISTRIES_CONF',
};

const mirrorSchema = z.object({
  location: z.string(),
  insecure: z.boolean().default(false),
  'pull-from-mirror': z.enum(['', 'all', 'digest-only', 'tag-only']).default(''),
});

const registrySchema = z.object({
  prefix: z.string().default(''),
  location: z.string().default(''),
  insecure: z.boolean().default(false),
  blocked: z.boolean().default(false),
  'mirror-by-digest-only': z.boolean().default(false),
  mirror: z.array(mirrorSchema).default([]),
});

const fileSchema = z.object({
  // The format of version 1, which other programs have stopped to read as well.
  registries: z.undefined('this is the format of version 1; write [[registry]] tables').optional(),
  registry: z.array(registrySchema).default([]),
  'credential-helpers': z.array(z.string()).optional(),
});

type Registry = z.output<typeof registrySchema>;

/** Stands for the files of credentials among the helpers. */
export const AUTH_FILES = 'containers-auth.json';

/** What registries.conf and its drop-ins say together. */
export interface RegistriesConfig {
  registries: readonly Registry[];
  credentialHelpers: readonly string[];
}

/** One place where an image may be. */
export interface Endpoint {
  reference: RegistryReference;
  /** plain HTTP and servers that cannot prove who they are are accepted */
  insecure: boolean;
  /** it stands in for the place that was asked for */
  mirror: boolean;
}

/**
 * Reads registries.conf.
 * @param path of the only file that counts; default: the files of containers-registries.conf(5)
 * @throws NotFoundError for a file that somebody named; FormatError `BAD_CONFIG`
 */
export function readRegistriesConfig(surroundings: Surroundings, path?: string): RegistriesConfig {
  const files = path === undefined ? configFiles(surroundings, KIND) : [readNamed(path, 'the command line')];
  const registries = new Map<string, Registry>();
  let credentialHelpers: readonly string[] = [AUTH_FILES];
  for (const file of files) {
    const config = parseToml(fileSchema, file);
    for (const registry of config.registry) {
      const normal = normalize(registry, file.path);
      registries.set(normal.prefix, normal);
    }
    credentialHelpers = config['credential-helpers'] ?? credentialHelpers;
  }
  return { registries: [...registries.values()], credentialHelpers };
}

/**
 * Where to look for an image, in this order: its mirrors, then the registry itself.
 * @throws BridgeError `REGISTRY_BLOCKED`
 */
export function pullEndpoints(config: RegistriesConfig, reference: RegistryReference): Endpoint[] {
  const registry = registryFor(config, reference);
  if (registry === undefined) return [{ reference, insecure: false, mirror: false }];
  const mirrors = registry.mirror.filter((mirror) =>
    serves(mirror['pull-from-mirror'], registry['mirror-by-digest-only'], reference),
  );
  return [
    ...mirrors.map(({ location, insecure }) => ({
      reference: rewrite(reference, registry.prefix, location),
      insecure,
      mirror: true,
    })),
    { reference: rewrite(reference, registry.prefix, registry.location), insecure: registry.insecure, mirror: false },
  ];
}

/**
 * Where an image is pushed to; mirrors have no part in it.
 * @throws BridgeError `REGISTRY_BLOCKED`
 */
export function pushEndpoint(config: RegistriesConfig, reference: RegistryReference): Endpoint {
  return pullEndpoints(config, reference).at(-1) as Endpoint;
}

/** The registry table with the longest prefix that suits. */
function registryFor(config: RegistriesConfig, reference: RegistryReference): Registry | undefined {
  const text = showReference(reference);
  let found: Registry | undefined;
  for (const registry of config.registries) {
    if (matchLength(text, registry.prefix) !== undefined && registry.prefix.length > (found?.prefix.length ?? 0))
      found = registry;
  }
  if (found?.blocked)
    throw new BridgeError(
      'REGISTRY_BLOCKED',
      `${text} may not be used: registries.conf says that ${found.prefix} is blocked`,
    );
  return found;
}

function serves(
  pulls: '' | 'all' | 'digest-only' | 'tag-only',
  byDigestOnly: boolean,
  { digest }: RegistryReference,
): boolean {
  if (pulls === 'digest-only' || (pulls === '' && byDigestOnly)) return digest !== undefined;
  return pulls !== 'tag-only' || digest === undefined;
}

function rewrite(reference: RegistryReference, prefix: string, location: string): RegistryReference {
  // A table for `*.example.com` without a location is about the hosts as they are called.
  if (location === '') return reference;
  const { tag, digest, host, path } = reference;
  const name = `${host}/${path}`;
  // The prefix may reach into the tag: it is then the name as a whole.
  const length = Math.min(matchLength(showReference(reference), prefix) ?? 0, name.length);
  return {
    ...parseRepositoryName(location + name.slice(length)),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** How much of a name a prefix stands for: whole parts, and with `*.` whatever is before the dot. */
function matchLength(name: string, prefix: string): number | undefined {
  let length = prefix.length;
  if (prefix.startsWith('*.')) {
    const end = name.slice(0, name.indexOf('/')).replace(/:\d+$/, '').length;
    const at = name.slice(0, end).lastIndexOf(prefix.slice(1).split(/[/:]/, 1)[0] as string);
    if (at < 1 || !name.startsWith(prefix.slice(1), at)) return undefined;
    length = at + prefix.length - 1;
  } else if (!name.startsWith(prefix)) {
    return undefined;
  }
  return length === name.length || /[/:@]/.test(name[length] as string) ? length : undefined;
}

function normalize(registry: Registry, path: string): Registry {
  const location = place(registry.location, path);
  const prefix = place(registry.prefix || registry.location, path);
  if (prefix === '') throw new FormatError('BAD_CONFIG', `${path}: a [[registry]] has neither prefix nor location`);
  const wildcard = prefix.startsWith('*.');
  if (prefix.includes('*') && (!wildcard || prefix.includes('*', 1)))
    throw new FormatError('BAD_CONFIG', `${path}: prefix ${prefix}: a * can only be what stands before the first dot`);
  if (registry['mirror-by-digest-only'] && registry.mirror.some((mirror) => mirror['pull-from-mirror'] !== '')) {
    throw new FormatError(
      'BAD_CONFIG',
      `${path}: ${prefix} has both mirror-by-digest-only and pull-from-mirror; use the second alone`,
    );
  }
  const mirror = registry.mirror.map((one) => ({ ...one, location: place(one.location, path) }));
  if (mirror.some((one) => one.location === ''))
    throw new FormatError('BAD_CONFIG', `${path}: a mirror of ${prefix} has no location`);
  return { ...registry, prefix, mirror, location: location === '' && !wildcard ? prefix : location };
}

function place(text: string, path: string): string {
  if (/^[a-z]+:\/\//i.test(text))
    throw new FormatError('BAD_CONFIG', `${path}: "${text}": locations have no scheme; insecure = true allows http`);
  return text.replace(/\/+$/, '');
}
