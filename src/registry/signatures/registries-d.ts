// registries.d: where the signatures of images are kept. Source: containers-registries.d(5).
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { debug } from '../../debug.js';
import { FormatError, NotFoundError } from '../../errors.js';
import { showReference, type RegistryReference } from '../../spec/reference.js';
import {
  checkConfig,
  dropInFiles,
  filesIn,
  type ConfigFile,
  type Surroundings,
} from '../../storage/containers-config.js';
import { dockerScopes } from '../policy/scopes.js';

const KIND = { stem: 'registries', middle: '', extension: '.yaml' };
const ROOTS_PLACE = '/var/lib/containers/sigstore';
const USERS_PLACE = '.local/share/containers/sigstore';

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
// YAML 1.1 has more words for these than 1.2.
const flag = z
  .union([
    z.boolean(),
    z.enum(['yes', 'Yes', 'YES', 'on', 'On', 'ON']).transform(() => true),
    z.enum(['no', 'No', 'NO', 'off', 'Off', 'OFF']).transform(() => false),
  ])
  .nullish()
  .transform((value) => value ?? undefined);
const namespaceSchema = z.object({
  lookaside: text,
  /** the older name of it */
  sigstore: text,
  'use-sigstore-attachments': flag,
});

type Namespace = z.output<typeof namespaceSchema>;

// A key with nothing behind it is null in YAML.
const namespace = namespaceSchema.nullish().transform((space) => space ?? undefined);

const schema = z
  .object({
    'default-docker': namespace,
    docker: z
      .record(z.string(), namespace)
      .nullish()
      .transform((docker) => docker ?? {}),
  })
  .nullable();

/** Where to look for signatures of an image. */
export interface SignaturePlaces {
  /** of the files `…@ALGORITHM=HEX/signature-N` for the repository, without its name */
  lookaside: string;
  /** Whether those that are attached in the registry count. */
  attachments: boolean;
}

/**
 * What registries.d says about an image.
 * @param folder with the only files that count; default: the folders of containers-registries.d(5)
 * @throws NotFoundError when there is no such folder, FormatError `BAD_CONFIG`
 */
export function signaturePlaces(
  reference: RegistryReference,
  surroundings: Surroundings,
  folder?: string,
): SignaturePlaces {
  const files = folder === undefined ? dropInFiles(surroundings, KIND) : named(folder);
  debug(() => `registries.d: read ${files.map(({ path }) => path).join(', ') || 'nothing, there is none'}`);
  const chain = namespacesFor(reference, files);
  return {
    lookaside:
      chain.map(({ lookaside, sigstore }) => lookaside || sigstore).find((place) => place !== '') ??
      `file://${usualPlace(surroundings)}`,
    attachments:
      chain.find((one) => one['use-sigstore-attachments'] !== undefined)?.['use-sigstore-attachments'] ?? false,
  };
}

function named(folder: string): ConfigFile[] {
  const files = filesIn([folder], KIND.extension);
  if (files === undefined) throw new NotFoundError(`there is no folder ${folder} with files of registries.d`);
  return files;
}

/** What is said about the image itself, then about what is above it, and at last by default. */
function namespacesFor(reference: RegistryReference, files: readonly ConfigFile[]): Namespace[] {
  const docker = new Map<string, { space: Namespace | undefined; path: string }>();
  let rest: { space: Namespace; path: string } | undefined;
  for (const file of files) {
    const { path } = file;
    const config = checkConfig(schema, path, () => parse(file.text, { maxAliasCount: 100 }) as unknown);
    const standard = config?.['default-docker'];
    if (standard !== undefined) {
      if (rest !== undefined) throw twice('default-docker', rest.path, path);
      rest = { space: standard, path };
    }
    for (const [name, space] of Object.entries(config?.docker ?? {})) {
      const other = docker.get(name);
      if (other !== undefined) throw twice(`docker: ${name}`, other.path, path);
      docker.set(name, { space, path });
    }
  }
  const found = dockerScopes(showReference(reference)).map((scope) => docker.get(scope)?.space);
  return [...found, rest?.space].filter((space) => space !== undefined);
}

function twice(what: string, first: string, second: string): FormatError {
  return new FormatError('BAD_CONFIG', `${second}: "${what}" is in ${first} as well; it may be in one file only`);
}

function usualPlace({ home, systemRoot = '/' }: Surroundings): string {
  return process.geteuid?.() === 0 ? join(systemRoot, ROOTS_PLACE) : join(home || homedir(), USERS_PLACE);
}
