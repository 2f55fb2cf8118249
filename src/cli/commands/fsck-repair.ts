import { repairRepository } from '../../oci/repair/repair.js';
import { repairJson, repairText } from '../reports/repair.js';
import { isOstreeServer, openRepairSources } from '../../oci/repair/sources.js';
import { openRepository } from '../open-repository.js';
import { remoteChoice, remoteFlagIn } from '../ostree/remote-options.js';
import { UsageError } from '../errors.js';
import type { Session } from '../session.js';
import type { FsckCommandOptions } from './fsck.options.js';

/** `fsck --repair`: restores what is damaged or missing; fails when something still is. */
export async function repair(session: Session, options: FsckCommandOptions): Promise<void> {
  const flag = remoteFlagIn(options);
  if (flag !== undefined && !options.from.some(isOstreeServer))
    throw new UsageError(`'${flag}' needs '--from' with the URL of an ostree repository`);
  using repository = await openRepository(session, options, 'write');
  await using sources = await openRepairSources(options.from, {
    server: remoteChoice(options),
    signal: session.signal,
  });
  const report = await repairRepository(repository, { sources: sources.all, signal: session.signal });
  if (options.json) await session.out.json(repairJson(report));
  else await session.out.write(repairText(report));
  if (!report.ok) throw new Error('the repository is not whole: see what is incomplete');
}
