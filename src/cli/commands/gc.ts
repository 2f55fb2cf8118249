import { bytesOf } from '../../bytes.js';
import { collectGarbage } from '../../repository/gc.js';
import { describeGcProblem, gcJson, gcText } from '../../repository/gc-report.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

export interface GcCommandOptions extends GlobalOptions {
  root: string[];
  dryRun?: true;
  json?: true;
}

/** `gc`: removes what nothing refers to, or says what that would be. */
export async function run(session: Session, _args: [], options: GcCommandOptions): Promise<void> {
  const dryRun = options.dryRun === true;
  using repository = await openRepository(session, options, dryRun ? 'read' : 'write');
  const report = await collectGarbage(repository, { dryRun, roots: options.root.map(bytesOf), signal: session.signal });
  for (const problem of report.problems) process.stderr.write(`${describeGcProblem(problem)}\n`);
  for (const { image, by } of report.inUse) process.stderr.write(`gc: kept: images/${image}: ${by}\n`);
  if (options.json) await session.out.json(gcJson(report));
  else await session.out.write(gcText(report));
}
