import { algorithmName } from '../../repository/meta.js';
import { changeAlgorithm, clearMigration } from '../../repository/migrate/algorithm.js';
import { requireVerity } from '../../repository/migrate/verity.js';
import type { Repository } from '../../repository/repository.js';
import { CountProgress } from '../count-progress.js';
import { UsageError } from '../errors.js';
import { openRepository, repositoryPath } from '../open-repository.js';
import type { Session } from '../session.js';
import { verityAlgorithm } from '../verity-algorithm.js';
import type { MigrateCommandOptions } from './migrate.options.js';

/** `migrate`: changes what a repository was made with, and keeps what is in it. */
export async function run(session: Session, _: [], options: MigrateCommandOptions): Promise<void> {
  if (options.algorithm === undefined && options.verity === undefined)
    throw new UsageError("one of '--algorithm' and '--verity' is required");
  const algorithm = options.algorithm === undefined ? undefined : verityAlgorithm(options.algorithm);
  const path = repositoryPath(options);
  using repository = await openRepository(session, options, 'write');
  if (algorithm !== undefined && algorithm !== repository.algorithm) {
    const { streams, images, contents } = await shown((onProgress) =>
      changeAlgorithm(repository, path, algorithm, {
        verity: options.verity === true,
        signal: session.signal,
        onProgress,
      }),
    );
    const { hardlinked, reflinked, copied, present } = contents;
    await session.out.line(`Migrated ${path} to ${algorithmName(algorithm)}`);
    await session.out.line(`  names:     ${streams} streams, ${images} images`);
    await session.out.line(`  objects:   ${hardlinked + reflinked} shared, ${copied} copied, ${present} already there`);
  } else {
    if (algorithm !== undefined) {
      await clearMigration(repository, session);
      await session.out.line(`${path} uses ${algorithmName(algorithm)} already`);
    }
    if (options.verity) await seal(session, repository, path, options.sealSource === true);
  }
}

async function seal(session: Session, repository: Repository, path: string, sealSource: boolean): Promise<void> {
  if (repository.verityRequired) return session.out.line(`${path} requires fs-verity already`);
  const { sealed, present, copied } = await shown((onProgress) =>
    requireVerity(repository, path, { sealSource, signal: session.signal, onProgress }),
  );
  await session.out.line(`${path} requires fs-verity now`);
  await session.out.line(`  objects:   ${sealed} sealed, ${present} already sealed, ${copied} copied first`);
}

async function shown<T>(migrate: (onProgress: (objects: number) => void) => Promise<T>): Promise<T> {
  using progress = new CountProgress(process.stderr);
  return await migrate((objects) => progress.show(objects));
}
