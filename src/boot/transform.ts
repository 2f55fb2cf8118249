import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Directory, Regular } from '../tree/tree.js';
import { directoryAt, find } from './lookup.js';
import { FileContexts } from './selinux/policy.js';
import { relabel, stripLabels } from './selinux/relabel.js';

/** What a bootable system has and mounts something else on. */
const EMPTIED = ['boot', 'sysroot'] as const;

/**
 * An expression can be made to match forever; those of real policies need seconds for 100,000 files. In milliseconds.
 */
const LABELLING_LIMIT = 60_000;

/**
 * Reads a file's content.
 * @param path its names below the root
 * @throws what reading throws; content must be what the tree says
 */
export type ReadContent = (file: Regular, path: readonly ByteString[]) => Buffer;

/**
 * Turns a tree into the one a machine boots from, in place, as cfsctl 0.9.4 does: `/boot` and `/sysroot`, which must be
 * there, are emptied and get the mtime of `/usr`, and everything is labelled by the SELinux policy in `/etc/selinux`;
 * without a policy there are no labels.
 * @param read for the policy's files
 * @param timeLimit milliseconds that the policy's expressions may take in all
 * @throws FormatError `NOT_BOOTABLE` when a directory is missing, `SELINUX_POLICY` for a policy that cannot be read
 */
export function transformForBoot(root: Directory, read: ReadContent, timeLimit = LABELLING_LIMIT): void {
  const usr = directoryAt(root, ['usr']);
  for (const name of EMPTIED) {
    const directory = directoryAt(root, [name]);
    directory.mtimeSec = usr.mtimeSec;
    directory.mtimeNsec = usr.mtimeNsec;
    directory.entries.clear();
  }
  const contexts = fileContexts(root, read);
  if (contexts === undefined) stripLabels(root);
  else relabel(root, contexts, timeLimit);
}

function fileContexts(root: Directory, read: ReadContent): FileContexts | undefined {
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
