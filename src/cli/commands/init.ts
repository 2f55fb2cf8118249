import { DEFAULT_ALGORITHM, initRepository } from '../../repository/init.js';
import { algorithmName } from '../../repository/meta.js';
import { isTrusted, repositoryPath } from '../open-repository.js';
import type { Session } from '../session.js';
import { verityAlgorithm } from '../verity-algorithm.js';
import type { InitCommandOptions } from './init.options.js';

/** `init`: creates a repository. */
export async function run(session: Session, [path]: [string | undefined], options: InitCommandOptions): Promise<void> {
  const place = path ?? repositoryPath(options);
  const algorithm = options.algorithm === undefined ? options.hash : verityAlgorithm(options.algorithm);
  const outcome = initRepository(place, {
    ...(algorithm !== undefined && { algorithm }),
    insecure: options.insecure === true,
    ensure: options.ensure === true,
    resetMetadata: options.resetMetadata === true,
    trust: isTrusted(place, options),
    ...(options.erofsVersion !== undefined && { erofsVersion: options.erofsVersion }),
  });
  if (outcome === 'existing') {
    const kept = options.ensure ? ' (existing configuration preserved)' : '';
    return session.out.line(`Repository already initialized at ${place}${kept}`);
  }
  if (outcome === 'upgraded') return session.out.line(`Upgraded legacy repository at ${place}`);
  await session.out.line(`Initialized composefs repository at ${place}`);
  await session.out.line(`  algorithm: ${algorithmName(algorithm ?? DEFAULT_ALGORITHM)}`);
  await session.out.line(`  verity:    ${options.insecure ? 'not required (insecure)' : 'required'}`);
}
