// Opening, making and closing repositories.
import { FormatError } from '../../errors.js';
import { implement, type VarlinkHandler } from '../../rpc/varlink/server.js';
import { initRepository } from '../../repository/init.js';
import { parseAlgorithm } from '../../repository/meta.js';
import type { Algorithm } from '../../fsverity/object-id.js';
import { defaultRepositoryPath } from '../../repository/default-path.js';
import { isTrustedFolder } from '../../repository/trust.js';
import type { ConnectionRepositories } from './handles.js';
import { messageOf } from './internal-error.js';
import {
  repositoryInterface,
  repositoryMethods,
  type NewRepository,
  type RepositoryChoice,
} from '../../rpc/contracts/repository.js';

const STATUS = { created: 'Created', existing: 'Opened', upgraded: 'Upgraded' } as const;

export function openingHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    implement(repositoryMethods.InitRepository, async (parameters) => ({
      parameters: { created: make(parameters, false) === 'created' },
    })),
    implement(repositoryMethods.EnsureRepository, async (parameters) => ({
      parameters: { status: STATUS[make(parameters, true)] },
    })),
    implement(repositoryMethods.OpenRepository, async (choice, { signal }) => {
      const path = pathOf(choice);
      const opened = await repositories.open(path, signal).catch((error: unknown) => {
        if (signal.aborted) throw error;
        throw repositoryInterface.error('RepoNotFound', { message: `opening repository ${path}: ${messageOf(error)}` });
      });
      const { algorithm, root } = opened.repository;
      return {
        parameters: { handle: opened.handle, hash_algorithm: algorithm, objects_device_id: Number(root.stat().dev) },
      };
    }),
    implement(repositoryMethods.CloseRepository, async (parameters) => {
      repositories.close(parameters.handle);
      return { parameters: {} };
    }),
  ];
}

function make({ path, algorithm, insecure }: NewRepository, ensure: boolean): ReturnType<typeof initRepository> {
  return initRepository(path, {
    ...(algorithm != null && { algorithm: usableAlgorithm(algorithm) }),
    insecure: insecure === true,
    ensure,
    trust: isTrustedFolder(path),
  });
}

function usableAlgorithm(name: string): Algorithm {
  try {
    return parseAlgorithm(name);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw repositoryInterface.error('InvalidSpec', { message: `invalid algorithm: ${error.message}` });
  }
}

function pathOf({ path, user, system }: RepositoryChoice): string {
  const chosen = [
    path != null ? path : undefined,
    user ? defaultRepositoryPath('user') : undefined,
    system ? defaultRepositoryPath('system') : undefined,
  ];
  const [one, ...others] = chosen.filter((place) => place !== undefined);
  if (one === undefined || others.length > 0)
    throw repositoryInterface.error('InvalidSpec', { message: 'exactly one of path, user, system has to be set' });
  return one;
}
