#!/bin/sh
# Runs a program of a Debian tree that scripts/peers.sh made.
#
#   scripts/in-peers.sh COMMAND...     as root; $CFSBRIDGE_PEERS (default /var/tmp/peers) says where it is, and
#                                      $CFSBRIDGE_TREE (default sid) which one. With CFSBRIDGE_CONTAINERS=1 in a
#                                      mount namespace where it can start containers
set -eu
dir=${CFSBRIDGE_PEERS:-/var/tmp/peers}
tree=$dir/${CFSBRIDGE_TREE:-sid}
# One at a time: two callers that both find nothing mounted would mount twice, one over the other.
exec 9>"$dir/.mounts.lock"
flock 9
# A mount of its own: containers-storage remounts / when it unpacks a layer, which a mere folder is not.
if ! mountpoint -q "$tree"; then
  mount --bind "$tree" "$tree"
  mount --make-private "$tree"
fi
for name in proc sys dev; do
  mountpoint -q "$tree/$name" && continue
  mount --rbind "/$name" "$tree/$name"
  # Slave: what is unmounted inside must stay mounted outside.
  mount --make-rslave "$tree/$name"
done
mkdir -p "$dir/share" "$tree/share"
if ! mountpoint -q "$tree/share"; then
  mount --bind "$dir/share" "$tree/share"
  mount --make-private "$tree/share"
fi
exec 9>&-
[ -n "${CFSBRIDGE_CONTAINERS:-}" ] || exec chroot "$tree" "$@"
# A container gets a root of its own, which the kernel refuses below a chroot; and its runtime wants cgroups of version 2.
exec unshare --mount --propagation private sh -ec '
  cd "$0"
  mount -t cgroup2 none sys/fs/cgroup
  pivot_root . .
  umount -l .
  exec "$@"' "$tree" "$@"
