import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RootlessUser } from '../support/rootless-user.js';
import { peers } from './peers.js';

/**
 * The command line by which a rootless user runs a program of the Debian tree. For user namespaces the tree has to be
 * the root of a mount namespace, not only that of a process: the kernel makes none for who is in a chroot. The folder
 * that both sides see has the same path in the tree.
 * @param user with a home below that folder
 */
export function rootlessInTree(user: RootlessUser, command: readonly string[]): string[] {
  const etc = mkdtempSync(join(user.home, 'tree-etc-'));
  const tree = join(peers, 'sid');
  for (const name of ['passwd', 'group', 'subuid', 'subgid'])
    writeFileSync(join(etc, name), user.table(name, readFileSync(join(tree, 'etc', name), 'utf8')));
  const script = [
    'tree=$1; share=$2; etc=$3; home=$4; shift 4',
    'mount --rbind "$tree" "$tree"',
    'for name in proc sys dev; do',
    '  mountpoint -q "$tree/$name" || mount --rbind "/$name" "$tree/$name"',
    'done',
    // The kernel of a build machine may have cgroups of the first version, or both, which containers do not start with.
    'mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup" || :',
    'for name in passwd group subuid subgid; do mount --bind "$etc/$name" "$tree/etc/$name"; done',
    'mkdir -p "$tree$share"; mount --bind "$share" "$tree$share"',
    'mount -t tmpfs tmpfs "$tree/tmp"; chmod 1777 "$tree/tmp"; mkdir "$tree/tmp/old"',
    'cd "$tree"; pivot_root . tmp/old; cd "$home"; umount -l /tmp/old',
    'exec "$@"',
  ].join('\n');
  return [
    ...user.environment(),
    'PODMAN_IGNORE_CGROUPSV1_WARNING=1',
    ...['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh'],
    ...[tree, join(peers, 'share'), etc, user.home, ...user.become(), ...command],
  ];
}
