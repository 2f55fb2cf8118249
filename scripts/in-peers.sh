#!/bin/sh
# Runs a program of the Debian sid tree that scripts/peers.sh made.
#
#   scripts/in-peers.sh COMMAND...     as root; $CFSBRIDGE_PEERS (default /var/tmp/peers) says where it is
set -eu
dir=${CFSBRIDGE_PEERS:-/var/tmp/peers}
for name in proc sys dev; do
  mountpoint -q "$dir/sid/$name" && continue
  mount --rbind "/$name" "$dir/sid/$name"
  # Slave: what is unmounted inside must stay mounted outside.
  mount --make-rslave "$dir/sid/$name"
done
mkdir -p "$dir/share" "$dir/sid/share"
if ! mountpoint -q "$dir/sid/share"; then
  mount --bind "$dir/share" "$dir/sid/share"
  mount --make-private "$dir/sid/share"
fi
exec chroot "$dir/sid" "$@"
