import type { Surroundings } from '../storage/containers-config.js';
import type { RepositoryName } from '../spec/reference.js';
import { credentialsIn, helperIn, readAuthFiles, storeIn, type AuthFile } from './auth-files.js';
import { askHelper } from './credential-helper.js';
import type { Credentials } from './credentials.js';
import { AUTH_FILES } from './registries-conf.js';

export interface CredentialOptions {
  surroundings: Surroundings;
  /** the only file to look into */
  authFile?: string | undefined;
  /** credential-helpers of registries.conf */
  helpers: readonly string[];
}

/**
 * Finds out who to be for a repository: in the files of podman and docker, and with the helper programs that they name.
 * Of the programs only the one is run that the first entry which suits names.
 * @returns undefined when nobody is known
 * @throws NotFoundError, FormatError `BAD_CONFIG`; BridgeError `CREDENTIAL_HELPER`
 */
export async function findCredentials(
  name: RepositoryName,
  options: CredentialOptions,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const { surroundings, authFile, helpers } = options;
  // A file that was named for this call is the whole answer.
  for (const helper of authFile === undefined ? helpers : [AUTH_FILES]) {
    const found =
      helper === AUTH_FILES
        ? await fromFiles(name, readAuthFiles(surroundings, authFile), surroundings, signal)
        : await askHelper(helper, name.host, surroundings.env, signal);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function fromFiles(
  name: RepositoryName,
  files: readonly AuthFile[],
  { env }: Surroundings,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  for (const file of files) {
    const helper = helperIn(file, name);
    if (helper !== undefined) return askHelper(helper.helper, helper.server, env, signal);
    const stored = credentialsIn(file, name);
    if (stored !== undefined) return stored;
    const store = storeIn(file, name);
    const kept = store && (await askHelper(store.helper, store.server, env, signal));
    if (kept !== undefined) return kept;
  }
  return undefined;
}
