import { OstreeFolder } from '../../../ostree/local/repository.js';
import { folderSource } from '../../../ostree/local/source.js';
import { isChecksum } from '../../../ostree/object/checksum.js';
import { pullCommit } from '../../../ostree/pull/pull.js';
import { checkedSource, checkPresent } from '../../../ostree/verify/checked-source.js';
import { CommitCheck } from '../../../ostree/verify/commit-check.js';
import { takePolicy } from '../../../repository/local-fetch.js';
import { openRepository } from '../../open-repository.js';
import { CommitProgress } from '../../ostree/commit-progress.js';
import { commitForm } from '../../ostree/form-options.js';
import { printPulled } from '../../ostree/print-pulled.js';
import { commitChecks } from '../../ostree/verify-options.js';
import type { Session } from '../../session.js';
import type { PullLocalOptions } from './pull-local.options.js';

/** `ostree pull-local`: brings a commit of a repository on this machine in. */
export async function run(session: Session, [path, ref]: [string, string], options: PullLocalOptions): Promise<void> {
  const form = commitForm(options);
  const checks = commitChecks(options);
  using repository = await openRepository(session, options, 'write');
  using folder = OstreeFolder.open(path);
  const commit = folder.resolve(ref);
  const { trusted } = folder;
  const policy = takePolicy(options.localFetch, {
    trusted,
    verityRequired: repository.verityRequired,
    sealSource: false,
  });
  const { signal } = session;
  const name = isChecksum(ref) ? undefined : ref;
  const check = new CommitCheck(repository, { ...checks, form, signal });
  const source = checkedSource(folderSource(folder, policy), check, { commit, ref: name }, async () =>
    folder.signatures(commit),
  );
  await checkPresent(repository, commit, source, signal, form);
  using progress = new CommitProgress(process.stderr);
  const pulled = await pullCommit(repository, source, commit, {
    ref: name,
    base: options.baseName,
    form,
    erofsVersion: options.erofsVersion,
    signal,
    onProgress: (at) => progress.show(at),
  });
  progress[Symbol.dispose]();
  await printPulled(session, pulled, options.json === true);
}
