import { showBytes } from '../../../bytes.js';
import { prepareBoot } from '../../../oci/image/prepare-boot.js';
import { sayLateMark } from '../../late-mark.js';
import { openRepository, repositoryPath } from '../../open-repository.js';
import type { Session } from '../../session.js';
import { talk } from '../../talk.js';
import type { PrepareBootCommandOptions } from './prepare-boot.options.js';

/** `oci prepare-boot`: makes the machine boot an image. */
export async function run(
  session: Session,
  [image, verity]: [string, string | undefined],
  options: PrepareBootCommandOptions,
): Promise<void> {
  using repository = await openRepository(session, options, 'write');
  const { bootdir, entryId, cmdline, erofsVersion } = options;
  const { id, argument, written, state, others } = await prepareBoot(repository, repositoryPath(options), image, {
    bootFolder: bootdir,
    entryId,
    commandLine: cmdline,
    verity,
    erofsVersion,
    signal: session.signal,
    onLateMark: sayLateMark,
  });
  const paths = written.map((path) => showBytes(path.replace(/^\/?/, '/')));
  if (options.json)
    return await session.out.json({ image: id, argument, written: paths, state, other_entries: others });
  for (const path of paths) talk(`Wrote ${bootdir}${path}\n`);
  if (others > 0) talk(`Of ${others + 1} boot entries in the image the first was written\n`);
}
