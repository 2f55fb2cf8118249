import { printable } from '../../bytes.js';
import { bytesOf } from '../../bytes.js';
import { collectGarbage } from '../../repository/gc/gc.js';
import { describeGcProblem } from '../../repository/gc/problem.js';
import { gcJson, gcText } from '../reports/gc.js';
import { IMAGES, pathOfName } from '../../repository/names.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';
import { talk } from '../talk.js';
import type { GcCommandOptions } from './gc.options.js';

/** `gc`: removes what nothing refers to, or says what that would be. */
export async function run(session: Session, _args: [], options: GcCommandOptions): Promise<void> {
  const dryRun = options.dryRun === true;
  using repository = await openRepository(session, options, dryRun ? 'read' : 'write');
  const report = await collectGarbage(repository, { dryRun, roots: options.root.map(bytesOf), signal: session.signal });
  for (const problem of report.problems) talk(`${printable(describeGcProblem(problem))}\n`);
  for (const { image, by } of report.inUse) talk(`gc: kept: ${pathOfName(IMAGES, image)}: ${by}\n`);
  if (options.json) await session.out.json(gcJson(report));
  else await session.out.write(gcText(report));
}
