import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { ObjectId } from '../repository/object-id.js';

/** What a booted system keeps: `/var`, and the changes to `/etc` with the kernel's working directory for them. */
const STATE = ['var', 'etc/upper', 'etc/work'];

/**
 * Makes the directories for the state of a system that boots from an image, where composefs-setup-root looks for them.
 * What is there stays.
 * @returns the deployment's directory, `../state/deploy/ID` from the repository
 */
export function makeDeployment(repositoryPath: string, id: ObjectId): string {
  const deployment = join(dirname(resolve(repositoryPath)), 'state', 'deploy', id);
  for (const name of STATE) mkdirSync(join(deployment, name), { recursive: true });
  return deployment;
}
