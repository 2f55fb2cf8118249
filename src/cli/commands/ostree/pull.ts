import { fileURLToPath } from 'node:url';
import { pullRemoteCommit } from '../../../ostree/http/pull-remote.js';
import { OstreeRemote } from '../../../ostree/http/remote.js';
import { openRepository } from '../../open-repository.js';
import { CommitProgress } from '../../ostree/commit-progress.js';
import { commitForm } from '../../ostree/form-options.js';
import { printPulled } from '../../ostree/print-pulled.js';
import { remoteChoice } from '../../ostree/remote-options.js';
import { commitChecks } from '../../ostree/verify-options.js';
import type { Session } from '../../session.js';
import { talk } from '../../talk.js';
import type { OstreePullOptions } from './pull.options.js';

/** `ostree pull`: brings a commit of a repository that a server has in. */
export async function run(session: Session, [url, ref]: [string, string], options: OstreePullOptions): Promise<void> {
  if (/^file:\/\//i.test(url)) {
    const { run: pullLocal } = await import('./pull-local.js');
    return await pullLocal(session, [fileURLToPath(url), ref], { ...options, localFetch: 'auto' });
  }
  const checks = commitChecks(options);
  await using remote = new OstreeRemote(url, remoteChoice(options));
  using repository = await openRepository(session, options, 'write');
  using progress = new CommitProgress(process.stderr);
  const pulled = await pullRemoteCommit(repository, remote, ref, {
    ...checks,
    form: commitForm(options),
    base: options.baseName,
    deltas: options.delta,
    erofsVersion: options.erofsVersion,
    signal: session.signal,
    onProgress: (at) => progress.show(at),
    onDelta: ({ from }) => talk(`Using static delta${from === undefined ? '' : ` from ${from}`}\n`),
    onWarning: (text) => talk(`${text}\n`),
  });
  progress[Symbol.dispose]();
  const { deltaParts } = pulled;
  await printPulled(
    session,
    pulled,
    options.json === true,
    deltaParts === undefined ? undefined : `via ${deltaParts} delta parts`,
  );
}
