import { dirname, join, resolve } from 'node:path';
import { bytesOf } from '../bytes.js';
import { makeBelievedDirectory } from '../fd/believed-path.js';
import type { ObjectId } from '../fsverity/object-id.js';

/** What a booted system keeps: `/var`, and the changes to `/etc` with the kernel's working directory for them. */
const STATE = ['var', 'etc/upper', 'etc/work'];

/**
 * Makes the directories for the state of a system that boots from an image, where composefs-setup-root looks for them.
 * What is there stays.
 * @returns the deployment's directory, `../state/deploy/ID` from the repository
 */
export function makeDeployment(repositoryPath: string, id: ObjectId): string {
  const deployment = join(dirname(resolve(repositoryPath)), 'state', 'deploy', id);
  // Nobody else's symlink may have them made elsewhere.
  for (const name of STATE) makeBelievedDirectory(bytesOf(join(deployment, name)), 0o755).close();
  return deployment;
}
