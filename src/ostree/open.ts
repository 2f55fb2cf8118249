// Repositories of ostree wherever they are, for programs.
import type { Repository } from '../repository/repository.js';
import type { OfferedDelta } from './delta/find.js';
import { canonicalForm } from './form.js';
import { pullRemoteCommit } from './http/pull-remote.js';
import { OstreeRemote, type RemoteOptions } from './http/remote.js';
import type { PullLocalOptions } from './local/pull-local.js';
import { openLocalCommits } from './open-local.js';
import { placeOf } from './place.js';
import type { PulledCommit } from './pull/pull.js';

export interface PullOstreeOptions extends PullLocalOptions {
  /** false: objects are fetched one by one, whatever static deltas a server has */
  deltas?: boolean | undefined;
  /** a static delta is used from now on */
  onDelta?: ((delta: OfferedDelta) => void) | undefined;
  /** is told what users should know */
  onWarning?: ((text: string) => void) | undefined;
}

/** A repository of ostree, on this machine or at a server, or another composefs repository. Disposing ends all connections. */
export interface OstreeRepository extends AsyncDisposable {
  /** its folder, or its URL without a password */
  readonly place: string;
  /** As `pullCommit`. */
  pull(repository: Repository, ref: string, options?: PullOstreeOptions): Promise<PulledCommit>;
  close(): Promise<void>;
}

/**
 * Opens a repository of ostree, or another composefs repository for the commits in it. Of one at a server nothing is
 * asked yet.
 * @param place a folder, of any mode that ostree has; that of a composefs repository, see `copyCommit`; or a URL,
 *   `http://`, `https://` or `file://`, of an archive
 * @param options who to be at a server, and whom to believe
 * @throws NotFoundError when the folder is none or not there, FormatError when its config is none; BridgeError
 *   `BAD_URL`
 * @example
 * ```ts
 * import { openOstreeRepository, pullCommit, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * await using from = openOstreeRepository('/srv/ostree');
 * const { ref, metadata, files } = await pullCommit(repository, from, 'web/testing');
 * console.log(ref, metadata, files); // web/testing 3 1
 * ```
 */
export function openOstreeRepository(place: string, options: RemoteOptions = {}): OstreeRepository {
  const at = placeOf(place);
  return 'url' in at ? atServer(at.url, options) : inFolder(at.folder);
}

/**
 * Brings a commit into the repository and makes its image. Every object is checked against its id; nothing that is here
 * is fetched.
 * @param from stays open
 * @param ref a ref, which becomes the commit's name, or the id of a commit, which gets none
 * @returns what it is called here, and how many objects it took beside those of the commits that it is based on
 * @throws NotFoundError for a ref, object or base that is not there; DigestMismatchError and FormatError for what is
 *   damaged, and nothing gets a name then; HttpError; BridgeError `INVALID_NAME`, `OSTREE_STATUS`, and with keys
 *   `OSTREE_SIGNATURE`, `OSTREE_BINDING`, `OSTREE_DOWNGRADE`
 * @example
 * ```ts
 * import { openOstreeRepository, pullCommit, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * await using from = openOstreeRepository('/srv/ostree');
 * const { metadata, files } = await pullCommit(repository, from, 'web/stable', { localFetch: 'disabled' });
 * console.log(metadata, files); // 0 0
 * ```
 */
export async function pullCommit(
  repository: Repository,
  from: OstreeRepository,
  ref: string,
  options: PullOstreeOptions = {},
): Promise<PulledCommit> {
  return await from.pull(repository, ref, { ...options, form: canonicalForm(options.form) });
}

function inFolder(path: string): OstreeRepository {
  const commits = openLocalCommits(path);
  const close = async (): Promise<void> => commits[Symbol.dispose]();
  return {
    place: path,
    pull: (repository, ref, options) => commits.pull(repository, ref, options),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function atServer(url: string, options: RemoteOptions): OstreeRepository {
  const remote = new OstreeRemote(url, options);
  const close = async (): Promise<void> => remote[Symbol.asyncDispose]();
  return {
    place: remote.url.href,
    pull: (repository, ref, { localFetch: _, onProgress, ...rest } = {}) =>
      pullRemoteCommit(repository, remote, ref, { ...rest, ...(onProgress && { onProgress }) }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
