import { applyDeltaFile } from '../../../ostree/delta/apply-file.js';
import { UsageError } from '../../errors.js';
import { openRepository } from '../../open-repository.js';
import { CommitProgress } from '../../ostree/commit-progress.js';
import { commitForm } from '../../ostree/form-options.js';
import { printPulled } from '../../ostree/print-pulled.js';
import { commitChecks } from '../../ostree/verify-options.js';
import type { Session } from '../../session.js';
import type { ApplyDeltaOptions } from './apply-delta.options.js';

/** `ostree apply-delta`: makes a commit of a static delta in files. */
export async function run(session: Session, [path]: [string], options: ApplyDeltaOptions): Promise<void> {
  const { reference: ref, fixXattrs, erofsVersion } = options;
  if (fixXattrs && ref === undefined)
    throw new UsageError("option '--fix-xattrs' requires '--reference': such an image is found by its name only");
  const checks = commitChecks(options);
  using repository = await openRepository(session, options, 'write');
  using progress = new CommitProgress(process.stderr);
  const pulled = await applyDeltaFile(repository, path, {
    ...checks,
    ref,
    form: commitForm({ fixXattrs, subpath: [] }),
    erofsVersion,
    signal: session.signal,
    onProgress: (at) => progress.show(at),
  });
  progress[Symbol.dispose]();
  await printPulled(session, pulled, options.json === true, 'applied');
}
