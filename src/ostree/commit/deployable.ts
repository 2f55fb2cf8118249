import { labelByOwnPolicy } from '../../boot/selinux/own-policy.js';
import { FormatError } from '../../errors.js';
import type { ObjectStore } from '../../repository/objects.js';
import { readContent } from '../../repository/read-content.js';
import type { Directory } from '../../tree/tree.js';

/** What these have belongs to the running system. Source: file-hierarchy(7), and what bootc leaves out. */
const OF_THE_SYSTEM = ['dev', 'proc', 'run', 'sys', 'tmp'] as const;

/**
 * Turns the tree of a container image into one that ostree deploys, in place: `/etc` becomes `/usr/etc`, of which a
 * deployment makes its own, and the folders for what the running system puts there are empty. An image with an SELinux
 * policy gets its labels; `/usr/etc` has those of `/etc`, where its files will be.
 * @param objects where the content of files is
 * @throws FormatError `OSTREE_OBJECT` for an image that has both, or an `/etc` without a folder `/usr`; as
 *   `labelByOwnPolicy`
 */
export function toDeployable(root: Directory, objects: ObjectStore): void {
  for (const name of OF_THE_SYSTEM) {
    const folder = root.entries.get(name);
    if (folder?.kind === 'directory') folder.entries.clear();
  }
  // In xattrs of files labels end with a NUL, and so they do in objects of ostree.
  labelByOwnPolicy(root, (file) => readContent(objects, file), { ending: '\0' });
  const etc = root.entries.get('etc');
  if (etc === undefined) return;
  const usr = root.entries.get('usr');
  if (etc.kind !== 'directory' || usr?.kind !== 'directory')
    throw new FormatError('OSTREE_OBJECT', 'the image has /etc, but not as a folder beside a folder /usr');
  if (usr.entries.has('etc')) throw new FormatError('OSTREE_OBJECT', 'the image has both /etc and /usr/etc');
  root.entries.delete('etc');
  usr.entries.set('etc', etc);
}
