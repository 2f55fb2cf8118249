import { commitCheck } from '../../ostree/fsck.js';
import { fsckRepository } from '../../repository/fsck/fsck.js';
import { fsckJson } from '../../repository/fsck/report.js';
import { fsckText } from '../reports/fsck.js';
import { isCalledCfsctl } from '../called-as.js';
import { UsageError } from '../errors.js';
import { openRepository } from '../open-repository.js';
import { remoteFlagIn } from '../ostree/remote-options.js';
import type { Session } from '../session.js';
import type { FsckCommandOptions } from './fsck.options.js';

/**
 * `fsck`: checks a repository; fails when something is wrong, with JSON unless called as cfsctl. With `--repair` it
 * fails when something still is.
 */
export async function run(session: Session, _: [], options: FsckCommandOptions): Promise<void> {
  if (options.repair) return (await import('./fsck-repair.js')).repair(session, options);
  const needsRepair = options.from.length > 0 ? '--from' : remoteFlagIn(options);
  if (needsRepair !== undefined) throw new UsageError(`'${needsRepair}' needs '--repair'`);
  using repository = await openRepository(session, options, 'read');
  const report = await fsckRepository(repository, {
    metadataOnly: options.metadataOnly === true,
    checkCommit: commitCheck(repository, options.metadataOnly === true),
    signal: session.signal,
  });
  if (options.json) await session.out.json(fsckJson(report));
  else await session.out.write(fsckText(report));
  if (!report.ok && !(options.json && isCalledCfsctl)) throw new Error('repository integrity check failed');
}
