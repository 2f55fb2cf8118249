import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Directory, Regular } from '../../tree/tree.js';
import { directoryAt, find } from '../lookup.js';
import { FileContexts } from './policy.js';
import { relabel, stripLabels } from './relabel.js';

/**
 * Reads a file's content.
 * @param path its names below the root
 * @throws what reading throws; content must be what the tree says
 */
export type ReadContent = (file: Regular, path: readonly ByteString[]) => Buffer;

/**
 * An expression can be made to match forever; those of real policies need seconds for 100,000 files. In milliseconds.
 */
const LABELLING_LIMIT = 60_000;

/**
 * Labels everything by the SELinux policy that a system brings in its `/etc/selinux`, in place; without a policy there
 * are no labels.
 * @param read for the policy's files
 * @param options.timeLimit milliseconds that the policy's expressions may take in all
 * @param options.ending what stands behind each label
 * @throws FormatError `NOT_BOOTABLE` when a directory is missing, `SELINUX_POLICY` for a policy that cannot be read
 */
export function labelByOwnPolicy(
  root: Directory,
  read: ReadContent,
  { timeLimit = LABELLING_LIMIT, ending = '' }: { timeLimit?: number | undefined; ending?: ByteString } = {},
): void {
  const contexts = ownPolicy(root, read);
  if (contexts === undefined) stripLabels(root);
  else relabel(root, contexts, timeLimit, ending);
}

function ownPolicy(root: Directory, read: ReadContent): FileContexts | undefined {
  const place = ['etc', 'selinux'];
  if (find(root, place) === undefined) return undefined;
  const config = readFile(root, [...place, 'config'], read);
  const type = config === undefined ? undefined : policyType(config);
  if (type === undefined) return undefined;
  const folder = [...place, ...type.split('/').filter((name) => name !== '' && name !== '.'), 'contexts', 'files'];
  directoryAt(root, folder);
  return new FileContexts((name) => readFile(root, [...folder, name], read));
}

/** The first `SELINUXTYPE=` counts; that `SELINUX=` says disabled does not. */
function policyType(config: Buffer): ByteString | undefined {
  for (const line of config.toString('latin1').split('\n')) {
    const equals = line.indexOf('=');
    if (equals >= 0 && line.slice(0, equals).trim().toUpperCase() === 'SELINUXTYPE')
      return line.slice(equals + 1).trim();
  }
  return undefined;
}

/** @returns undefined when there is no such file. @throws FormatError when it is something else */
function readFile(root: Directory, path: readonly ByteString[], read: ReadContent): Buffer | undefined {
  const node = find(root, path);
  if (node === undefined) return undefined;
  if (node.kind !== 'regular') throw new FormatError('SELINUX_POLICY', `/${path.join('/')} is not a regular file`);
  return read(node, path);
}
