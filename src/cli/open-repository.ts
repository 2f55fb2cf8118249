import type { OpenDir } from '../fd/fd.js';
import { defaultRepositoryPath } from '../repository/default-path.js';
import { algorithmName, type Meta } from '../repository/meta.js';
import { Repository } from '../repository/repository.js';
import { isTrustedFolder } from '../repository/trust.js';
import type { GlobalOptions, Session } from './session.js';
import { talk } from './talk.js';

/** Where the repository is, going by the global options. */
export function repositoryPath({ repo, user, system }: GlobalOptions): string {
  if (repo === false) throw new Error('--no-repo is only for compute-id and create-dumpfile');
  return repo ?? defaultRepositoryPath(user ? 'user' : system ? 'system' : undefined);
}

/** Opens the repository that the global options name; the caller disposes it. */
export async function openRepository(
  { signal }: Session,
  options: GlobalOptions,
  access: 'read' | 'write',
  openDir?: OpenDir,
): Promise<Repository> {
  const path = repositoryPath(options);
  const repository = await open(path, options, access, signal, openDir);
  if (options.hash === undefined || options.hash === repository.algorithm) return repository;
  repository[Symbol.dispose]();
  throw new Error(
    `repository is configured for ${algorithmName(repository.algorithm)} (from meta.json) but --hash ` +
      `${options.hash} was specified`,
  );
}

/** Whether the owner of the repository is to be believed, no matter who that is. */
export function isTrusted(path: string, { trustRepository }: GlobalOptions): boolean {
  return trustRepository === true || isTrustedFolder(path);
}

const WAITS = {
  exclusive: 'waiting for the garbage collection, repair or migration of',
  others: 'waiting until nobody else uses',
};

async function open(
  path: string,
  options: GlobalOptions,
  access: 'read' | 'write',
  signal: AbortSignal,
  openDir: OpenDir | undefined,
): Promise<Repository> {
  try {
    return await Repository.open(path, {
      write: access === 'write',
      requireVerity: options.requireVerity === true,
      insecure: options.insecure === true,
      trust: isTrusted(path, options),
      ...(options.upgrade && { onUpgrade: (meta) => sayUpgraded(path, meta) }),
      onWait: (what) => talk(`${WAITS[what]} ${path}\n`),
      signal,
      openDir,
    });
  } catch (cause) {
    throw new Error(`opening repository ${path}`, { cause });
  }
}

function sayUpgraded(path: string, { algorithm, erofsFormats }: Meta): void {
  talk(
    `Upgraded the repository at ${path}, which had no meta.json: ${algorithmName(algorithm)}, EROFS format ` +
      `${erofsFormats?.default}\n`,
  );
}
