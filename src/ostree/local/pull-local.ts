import type { Abortable } from '../../abortable.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { takePolicy, type LocalFetch } from '../../repository/local-fetch.js';
import type { Repository } from '../../repository/repository.js';
import { isChecksum } from '../object/checksum.js';
import type { FetchProgress } from '../pull/fetch-commit.js';
import { pullCommit, type PulledCommit } from '../pull/pull.js';
import { checkedSource, checkPresent } from '../verify/checked-source.js';
import { CommitCheck, type CommitCheckOptions } from '../verify/commit-check.js';
import type { OstreeFolder } from './repository.js';
import { folderSource } from './source.js';

export interface PullLocalOptions extends Abortable, CommitCheckOptions {
  /** a name in the repository whose commit has objects that need not be brought */
  base?: string | undefined;
  /** of the image; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
  onProgress?: ((progress: FetchProgress) => void) | undefined;
  /** how files get here; default `auto` */
  localFetch?: LocalFetch | undefined;
}

/**
 * Brings a commit of a repository on this machine into this one, with its image.
 * @param ref a ref, which becomes the commit's name, or the id of a commit, which gets none
 * @throws NotFoundError when there is no such ref; as `pullCommit` and `CommitCheck.commit`
 */
export async function pullLocalCommit(
  repository: Repository,
  folder: OstreeFolder,
  ref: string,
  options: PullLocalOptions = {},
): Promise<PulledCommit> {
  const signal = options.signal ?? new AbortController().signal;
  const commit = folder.resolve(ref);
  const policy = takePolicy(options.localFetch ?? 'auto', {
    trusted: folder.trusted,
    verityRequired: repository.verityRequired,
    sealSource: false,
  });
  const name = isChecksum(ref) ? undefined : ref;
  const check = new CommitCheck(repository, { ...options, signal });
  const source = checkedSource(folderSource(folder, policy), check, { commit, ref: name }, async () =>
    folder.signatures(commit),
  );
  await checkPresent(repository, commit, source, signal, options.form);
  const { base, erofsVersion, form, onProgress } = options;
  return await pullCommit(repository, source, commit, {
    ref: name,
    base,
    form,
    erofsVersion,
    signal,
    ...(onProgress && { onProgress }),
  });
}
