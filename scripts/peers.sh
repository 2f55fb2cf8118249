#!/bin/sh
# Installs the real programs that the interop tests and benchmarks compare with.
#
#   scripts/peers.sh [DIR]     run as root on Debian; DIR defaults to $CFSBRIDGE_PEERS, then /var/tmp/peers
#
# Leaves behind
#   DIR/bin/cfsctl     composefs-rs 0.9.4, built with cargo; also as mkcomposefs and composefs-info
#   DIR/sid/           a Debian sid tree with the container programs; run them with scripts/in-peers.sh
#   DIR/bookworm/      a tree of Debian 12 with its skopeo, whose image proxy speaks an older protocol, and its podman
#   DIR/share/         the folder both sides see, as /share inside the tree
# What is already there is kept, so calling it again costs nothing. The first time takes about ten minutes.
set -eu
dir=${1:-${CFSBRIDGE_PEERS:-/var/tmp/peers}}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir/bin" "$dir/share"

# have PROGRAM PACKAGE...: installs the packages unless the program is there
have() {
  program=$1
  shift
  command -v "$program" >/dev/null 2>&1 && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ ! -x "$dir/bin/cfsctl" ]; then
  have cargo cargo
  have pkg-config pkg-config
  have clang clang libclang-dev
  [ -e /usr/include/openssl/ssl.h ] || have /nonexistent libssl-dev
  echo "peers: cargo install composefs-ctl 0.9.4 (log: $dir/cargo.log)"
  cargo install composefs-ctl --version 0.9.4 --locked --root "$dir" >"$dir/cargo.log" 2>&1
fi
# One binary, several programs: it looks at the name it was called by.
ln -sf cfsctl "$dir/bin/mkcomposefs"
ln -sf cfsctl "$dir/bin/composefs-info"

if [ ! -x "$dir/sid/usr/bin/buildah" ]; then
  have debootstrap debootstrap
  echo "peers: debootstrap sid (log: $dir/debootstrap.log)"
  umount -R "$dir/sid" 2>/dev/null || true
  rm -rf --one-file-system "$dir/sid"
  packages=buildah,podman,skopeo,composefs,erofs-utils,fsverity,ostree,crun,containers-storage
  packages=$packages,ca-certificates,python3,attr,libcap2-bin,zstd
  mirror=$("$here/debian-mirror.sh")
  debootstrap --variant=minbase --include="$packages" sid "$dir/sid" "$mirror" >"$dir/debootstrap.log" 2>&1
fi
# varlinkctl (Debian 12's is too old), a registry, umoci and nginx; trees made before they were wanted lack them.
if [ ! -x "$dir/sid/usr/bin/varlinkctl" ] || [ ! -x "$dir/sid/usr/bin/docker-registry" ] ||
  [ ! -x "$dir/sid/usr/bin/umoci" ] || [ ! -x "$dir/sid/usr/sbin/nginx" ]; then
  echo "peers: more programs for the sid tree (log: $dir/apt.log)"
  CFSBRIDGE_PEERS=$dir "$here/in-peers.sh" sh -c 'apt-get -o Acquire::Check-Valid-Until=false update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd docker-registry umoci nginx-light' >"$dir/apt.log" 2>&1
fi
if [ ! -x "$dir/bookworm/usr/bin/skopeo" ]; then
  have debootstrap debootstrap
  echo "peers: debootstrap bookworm (log: $dir/bookworm.log)"
  # debootstrap cannot choose among packages that can stand for another: netavark is named.
  debootstrap --variant=minbase --include=skopeo,netavark,ca-certificates bookworm "$dir/bookworm" \
    "$("$here/debian-mirror.sh")" >"$dir/bookworm.log" 2>&1
fi
# Its podman, which knows less of a store than sid's; trees made before it was wanted lack it.
if [ ! -x "$dir/bookworm/usr/bin/podman" ]; then
  echo "peers: podman for the bookworm tree (log: $dir/bookworm-apt.log)"
  CFSBRIDGE_PEERS=$dir CFSBRIDGE_TREE=bookworm "$here/in-peers.sh" sh -c 'apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman netavark' >"$dir/bookworm-apt.log" 2>&1
fi
# A program of the tests is linked with libostree; without it the test is skipped.
if ! pkg-config --exists ostree-1 libzstd openssl 2>/dev/null; then
  have pkg-config pkg-config && have /nonexistent libostree-dev libzstd-dev libssl-dev ||
    echo "peers: there is no libostree-dev here"
fi
echo "peers: ready in $dir"
