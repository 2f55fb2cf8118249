import { FormatError } from '../../errors.js';
import type { Directory } from '../../tree/tree.js';

/** What these have belongs to the running system. Source: file-hierarchy(7), and what bootc leaves out. */
const OF_THE_SYSTEM = ['dev', 'proc', 'run', 'sys', 'tmp'] as const;

/**
 * Turns the tree of a container image into one that ostree deploys, in place: `/etc` becomes `/usr/etc`, of which a
 * deployment makes its own, and the folders for what the running system puts there are empty.
 * @throws FormatError `OSTREE_OBJECT` for an image that has both, or an `/etc` without a folder `/usr`
 */
export function toDeployable(root: Directory): void {
  for (const name of OF_THE_SYSTEM) {
    const folder = root.entries.get(name);
    if (folder?.kind === 'directory') folder.entries.clear();
  }
  const etc = root.entries.get('etc');
  if (etc === undefined) return;
  const usr = root.entries.get('usr');
  if (etc.kind !== 'directory' || usr?.kind !== 'directory')
    throw new FormatError('OSTREE_OBJECT', 'the image has /etc, but not as a folder beside a folder /usr');
  if (usr.entries.has('etc')) throw new FormatError('OSTREE_OBJECT', 'the image has both /etc and /usr/etc');
  root.entries.delete('etc');
  usr.entries.set('etc', etc);
}
