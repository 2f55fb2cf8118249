import { bytesOf } from '../bytes.js';
import { isErrno, openDirectoryPath } from '../fd/fd.js';
import { listDirectory } from '../repository/links.js';
import { hasMeta } from '../repository/read-meta.js';
import { Repository } from '../repository/repository.js';
import { copyCommit } from './copy/copy-commit.js';
import { pullLocalCommit, type PullLocalOptions } from './local/pull-local.js';
import { OstreeFolder } from './local/repository.js';
import type { PulledCommit } from './pull/pull.js';

/** A repository on this machine that has commits. */
export interface LocalCommits extends Disposable {
  /** @throws as `pullLocalCommit` or `copyCommit` */
  pull(repository: Repository, ref: string, options?: PullLocalOptions): Promise<PulledCommit>;
}

/**
 * Opens a repository of ostree, or another composefs repository, which is opened when something of it is pulled.
 * @param trust believes the owner of a composefs repository, whoever that is
 * @throws NotFoundError when the folder is neither; FormatError for a config of ostree that is none
 */
export function openLocalCommits(path: string, { trust = false }: { trust?: boolean } = {}): LocalCommits {
  if (isComposefs(path))
    return {
      pull: async (repository, ref, options = {}) => {
        using from = await Repository.open(path, { trust, signal: options.signal });
        return await copyCommit(from, repository, ref, options);
      },
      [Symbol.dispose]: () => undefined,
    };
  const folder = OstreeFolder.open(path);
  return {
    pull: (repository, ref, options) => pullLocalCommit(repository, folder, ref, options),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** Those of ostree have a config. */
function isComposefs(path: string): boolean {
  try {
    using root = openDirectoryPath(bytesOf(path));
    return hasMeta(root) && !listDirectory(root, '').includes('config');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
