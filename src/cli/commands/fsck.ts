import { fsckRepository } from '../../repository/fsck.js';
import { fsckJson, fsckText } from '../../repository/fsck-report.js';
import { UsageError } from '../errors.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

export interface FsckCommandOptions extends GlobalOptions {
  json?: true;
  metadataOnly?: true;
  repair?: true;
  from: string[];
}

/** `fsck`: checks a repository; fails when something is wrong, also with JSON. With `--repair` it fails when something still is. */
export async function run(session: Session, _: [], options: FsckCommandOptions): Promise<void> {
  if (options.repair) return (await import('./fsck-repair.js')).repair(session, options);
  if (options.from.length > 0) throw new UsageError("'--from' needs '--repair'");
  using repository = await openRepository(session, options, 'read');
  const report = await fsckRepository(repository, { metadataOnly: options.metadataOnly === true, signal: session.signal });
  if (options.json) await session.out.json(fsckJson(report));
  else await session.out.write(fsckText(report));
  if (!report.ok) throw new Error('repository integrity check failed');
}
