#!/bin/sh
# Makes a real containers-storage with buildah, for interop tests and benchmarks. Needs root, scripts/peers.sh first.
#
#   scripts/mkstore.sh [NAME]     store at $CFSBRIDGE_PEERS/share/NAME (default: store); kept when it is there
#
# Images, all localhost/NAME:latest
#   base   Debian bookworm with python3, perl and git in one layer: about 9,800 files, 380 MB
#   mid    base and a layer of awkward entries: whiteouts, a directory made anew, hard links, long and UTF-8 names,
#          a device and a fifo, setuid, a capability, owners, a sparse file, nanoseconds after 2038
#   many   mid and a layer of 30,000 small files in 300 directories
#   big    base and a layer of 1.2 GB random bytes and 300 MB of zeros
set -eu
dir=${CFSBRIDGE_PEERS:-/var/tmp/peers}
name=${1:-store}
share=$dir/share
grep -q localhost/big "$share/$name/overlay-images/images.json" 2>/dev/null && exit

if [ "$(id -u)" -ne 0 ] || [ ! -x "$dir/sid/usr/bin/buildah" ]; then
  echo "mkstore: needs root, and the programs that scripts/peers.sh installs" >&2
  exit 1
fi
here=$(cd "$(dirname "$0")" && pwd)
mirror=$("$here/debian-mirror.sh")
mkdir -p "$share"
if [ ! -e "$share/rootfs.complete" ]; then
  echo "mkstore: debootstrap bookworm (log: $share/rootfs.log)"
  rm -rf "$share/rootfs"
  debootstrap --variant=minbase --include=python3,perl,git,ca-certificates bookworm "$share/rootfs" "$mirror" >"$share/rootfs.log" 2>&1
  touch "$share/rootfs.complete"
fi

cat >"$share/mkstore.inside" <<'INSIDE'
set -eu
name=$1
run() { buildah --root "/share/$name" --runroot "/share/$name.run" --storage-driver overlay "$@"; }

# start IMAGE: a working container, its files at $root
start() {
  container=$(run from --pull-never "$1")
  root=$(run mount "$container")
}

# finish NAME: makes the container an image
finish() {
  run umount "$container" >/dev/null
  run commit --quiet --format oci "$container" "localhost/$1:latest" >/dev/null
  run rm "$container" >/dev/null
  echo "mkstore: $1"
}

start scratch
cp -a /share/rootfs/. "$root"
finish base

start localhost/base:latest
rm -rf "$root/usr/share/doc" "$root/usr/share/locale"
mkdir -p "$root/usr/share/doc/again" "$root/opt/odd"
echo new >"$root/usr/share/doc/again/README"
python3 - "$root/opt/odd" <<'PYTHON'
import os, random, stat, sys
os.chdir(sys.argv[1])
random.seed(1)
for name in ("first", "second", "third"):
    open(name, "wb").write(random.randbytes(5000))
os.link("first", "first-again")
os.symlink("second", "link")
os.mkfifo("fifo")
os.mknod("device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
for size in (0, 60, 63, 64, 65, 4095, 4096, 4097):
    open(f"size-{size}", "wb").write(b"a" * size)
long = "l" * 200
os.makedirs(f"{long}/{long}")
open(f"{long}/{long}/{long}", "w").write("long")
os.symlink(f"/{long}/{long}/{long}", "long-link")
with open("sparse", "wb") as sparse:
    sparse.truncate(10 << 20)
    sparse.seek(0, os.SEEK_END)
    sparse.write(b"end\n")
open("ünïcödé name", "w").write("utf8")
open("later", "w").close()
os.utime("later", ns=(2208988800123456789,) * 2)
os.setxattr("second", "user.note", b"kept in the layer only")
os.chown("second", 1234, 4321)
os.chmod("first", 0o4755)
PYTHON
setcap cap_net_raw+ep "$root/opt/odd/third"
run config --label kind=test --env PLACE=here --cmd /bin/bash "$container"
finish mid

start localhost/mid:latest
python3 - "$root/srv" <<'PYTHON'
import os, random, sys
random.seed(7)
for package in range(300):
    folder = f"{sys.argv[1]}/modules/package-{package}/lib"
    os.makedirs(folder)
    for file in range(100):
        open(f"{folder}/file-{file}.js", "wb").write(random.randbytes(random.choice((20, 200, 900, 2500, 8000))))
PYTHON
finish many

start localhost/base:latest
head -c 1200000000 /dev/urandom >"$root/random.bin"
head -c 300000000 /dev/zero >"$root/zero.bin"
finish big

# The driver mounts its folder on itself and leaves it so.
umount "/share/$name/overlay" 2>/dev/null || true
INSIDE

# What an interrupted build left behind is not worth repairing.
umount -R "$dir/sid/share/$name/overlay" 2>/dev/null || true
rm -rf "$share/$name" "$share/$name.run"
CFSBRIDGE_PEERS=$dir "$here/in-peers.sh" sh /share/mkstore.inside "$name"
