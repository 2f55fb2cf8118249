import { openLocalCommits } from '../../../ostree/open-local.js';
import { isTrustedFolder } from '../../../repository/trust.js';
import { openRepository } from '../../open-repository.js';
import { CommitProgress } from '../../ostree/commit-progress.js';
import { commitForm } from '../../ostree/form-options.js';
import { printPulled } from '../../ostree/print-pulled.js';
import { commitChecks } from '../../ostree/verify-options.js';
import type { Session } from '../../session.js';
import type { PullLocalOptions } from './pull-local.options.js';

/** `ostree pull-local`: brings a commit of a repository on this machine in, of ostree or another one like this. */
export async function run(session: Session, [path, ref]: [string, string], options: PullLocalOptions): Promise<void> {
  const form = commitForm(options);
  const checks = commitChecks(options);
  using repository = await openRepository(session, options, 'write');
  using from = openLocalCommits(path, { trust: isTrustedFolder(path) });
  using progress = new CommitProgress(process.stderr);
  const pulled = await from.pull(repository, ref, {
    ...checks,
    base: options.baseName,
    form,
    erofsVersion: options.erofsVersion,
    localFetch: options.localFetch,
    signal: session.signal,
    onProgress: (at) => progress.show(at),
  });
  progress[Symbol.dispose]();
  await printPulled(session, pulled, options.json === true);
}
