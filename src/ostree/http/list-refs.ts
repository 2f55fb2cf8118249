import type { Abortable } from '../../abortable.js';
import { NotFoundError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import type { CommitRef } from '../refs.js';
import { fetchSummary } from './fetch-summary.js';
import { OstreeRemote, type RemoteOptions } from './remote.js';

export interface ListServerRefsOptions extends RemoteOptions, Abortable {
  /** of a repository with an index of summaries; default: this machine's architecture */
  subset?: string | undefined;
}

/**
 * The refs in the summary of a repository of ostree that a server has, sorted.
 * @param repository keeps the summary, which is not sent again while it is the same
 * @param url `http://` or `https://`
 * @throws NotFoundError when there is no summary; BridgeError `BAD_URL`, `OSTREE_STATUS`; HttpError;
 *   DigestMismatchError for another subset than the index says
 * @example
 * ```ts
 * import { listServerRefs, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * const refs = await listServerRefs(repository, 'https://dl.flathub.org/repo', { subset: 'x86_64' });
 * for (const { name, commit } of refs) console.log(name, commit);
 * ```
 */
export async function listServerRefs(
  repository: Repository,
  url: string,
  { subset, signal = new AbortController().signal, ...options }: ListServerRefsOptions = {},
): Promise<CommitRef[]> {
  await using remote = new OstreeRemote(url, options);
  const summary = await fetchSummary(remote, repository, { subset, signal });
  if (summary === undefined) throw new NotFoundError('no summary available from remote');
  return Array.from(summary.refs, ([name, commit]) => ({ name, commit })).sort((a, b) => (a.name < b.name ? -1 : 1));
}
