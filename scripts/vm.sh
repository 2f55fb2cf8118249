#!/usr/bin/env bash
# Boots a Debian kernel in qemu, with filesystems that have fs-verity, and runs dist/test/vm/*.test.js inside.
#
# The guest's system is an initramfs with this machine's own node, a few programs, their libraries, and this project, all at
# the paths they have here. Programs that are missing are installed with apt-get when this runs as root. The kernel is a
# package of Debian 13: overlayfs that checks fs-verity is newer than Debian 12. It is unpacked below .cache, not installed.
# The machine is emulated, always: /dev/kvm is missing in most places where this runs, and half works in others.
#
#   scripts/vm.sh [NAME...]   only dist/test/vm/NAME.test.js; default: all
#
#   CFSBRIDGE_PEERS           cfsctl from there checks what we wrote (default /var/tmp/peers)
#
# Ends with one line `N passed, N failed, N skipped`; exit status 1 when anything failed.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
work=$project/.cache/vm
longest=900 # seconds from power on
peers=${CFSBRIDGE_PEERS:-/var/tmp/peers}
if [ $# -gt 0 ]; then tests=("${@/%/.test.js}") && tests=("${tests[@]/#/dist/test/vm/}"); else tests=(dist/test/vm/*.test.js); fi

finish() {
  echo "$1 passed, $2 failed, $3 skipped"
  [ "$2" -eq 0 ] && exit 0
  exit 1
}

broken() {
  echo "FAILED: make test-vm: $*"
  finish 0 1 0
}

install_programs() {
  local missing=() pair
  for pair in qemu-system-x86_64:qemu-system-x86 cpio:cpio insmod:kmod fsverity:fsverity xz:xz-utils mke2fs:e2fsprogs debugfs:e2fsprogs; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "vm: installing ${missing[*]}"
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null &&
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Unpacks the kernel package into $work/kernel, through package lists of its own: those of the machine stay as they are.
fetch_kernel() {
  [ -e "$work/kernel/boot" ] && return
  local apt=$work/apt mirror
  mirror=$(scripts/debian-mirror.sh) || return
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt" -o Dir::State::status=/dev/null -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
  echo "vm: fetching a kernel"
  apt-get "${options[@]}" update || return
  local package
  package=$(apt-cache "${options[@]}" depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
  (cd "$apt" && rm -f -- *.deb && apt-get "${options[@]}" download "$package") || return
  rm -rf "$work/kernel.new"
  dpkg-deb -x "$apt"/*.deb "$work/kernel.new" && mv "$work/kernel.new" "$work/kernel" && rm -rf "$apt"
}

# Modules in the order in which they have to be loaded, uncompressed: 00-name.ko, 01-name.ko, …
unpack_modules() {
  local tree=$work/kernel/usr version number=0 path
  version=$(basename "$tree"/lib/modules/*)
  depmod -b "$tree" "$version"
  rm -rf "$work/modules"
  mkdir "$work/modules"
  for name in virtio_blk erofs overlay; do
    modprobe -d "$tree" -S "$version" --show-depends "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | awk '!seen[$0]++' | while read -r path; do
    xz -dc "$path" >"$work/modules/$(printf %02d $number)-$(basename "$path" .xz)"
    number=$((number + 1))
  done
}

# Prints a path as the guest has to have it, with the symlinks on the way to what it really is.
with_links() {
  local path
  path=$(realpath -m "$(dirname "$1")")/$(basename "$1")
  echo "$path"
  [ -L "$path" ] && with_links "$(realpath -m -s "$(dirname "$path")/$(readlink "$path" | sed 's|^/|/../../../../../../../../../|')")"
  return 0
}

libraries() { ldd "$1" 2>/dev/null | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p'; }

list_files() {
  local program path modules
  for path in /bin /sbin /lib /lib64; do [ -L "$path" ] && echo "$path"; done
  for program in node sh mount umount insmod rmmod cat rm sync debugfs tune2fs fsverity sleep "$peers/bin/cfsctl"; do
    path=$(command -v "$program") || continue
    with_links "$path"
    for library in $(libraries "$path"); do with_links "$library"; done
  done
  modules=$(realpath node_modules)
  [ -L node_modules ] && echo "$project/node_modules"
  find "$project/dist" "$project/bin" "$project/fixtures" "$project/package.json" "$project/build/Release/cfsbridge.node"
  find "$modules" -maxdepth 1 -mindepth 1 ! -name '.*' ! -name '*typescript*' ! -name '*esbuild*' ! -name '@types' ! -name 'node-gyp' -exec find {} -type f ';'
  find "$modules" "$project/build/Release/cfsbridge.node" -name '*.node' | while read -r path; do
    for library in $(libraries "$path"); do with_links "$library"; done
  done
}

# All folders above the listed files, then the files.
with_folders() {
  awk '{ n = split($0, part, "/"); path = ""; for (i = 2; i <= n; i++) { path = path "/" part[i]; if (!seen[path]++) print path } }'
}

make_initramfs() {
  unpack_modules
  list_files | with_folders | sed 's|^/||' | (cd / && cpio --quiet -o -H newc) >"$work/initramfs"
  rm -rf "$work/top"
  mkdir -p "$work/top"/{proc,sys,dev,tmp,mnt}
  cp scripts/vm-init.sh "$work/top/init"
  chmod 755 "$work/top/init"
  echo "$project" >"$work/top/project"
  printf '%s\n' "${tests[@]}" >"$work/top/tests"
  cp -r "$work/modules" "$work/top/modules"
  (cd "$work/top" && find . | cpio --quiet -o -H newc) >>"$work/initramfs"
}

# In the order in which the guest sees them: vda, vdb, vdc.
make_disks() {
  rm -f "$work"/*.disk
  mke2fs -qF -t ext4 -O verity -b 4096 "$work/verity.disk" 512M >/dev/null
  mke2fs -qF -t ext4 -O ^verity -b 4096 "$work/plain.disk" 64M >/dev/null
  mke2fs -qF -t ext4 -O verity -b 1024 "$work/small-blocks.disk" 64M >/dev/null
}

boot() {
  local disks=() name
  for name in verity plain small-blocks; do disks+=(-drive "file=$work/$name.disk,format=raw,if=virtio,cache=unsafe"); done
  timeout --kill-after=5 "$longest" qemu-system-x86_64 -accel tcg,thread=multi -cpu max,cx16=off -smp 2 -m 1536M -nodefaults -no-reboot \
    -display none -serial stdio -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs" \
    -append 'console=ttyS0 loglevel=3 panic=-1 mitigations=off' "${disks[@]}" </dev/null | tr -d '\r' | tee "$work/log"
}

mkdir -p "$work"
if [ "$(uname -m)" != x86_64 ]; then
  echo "skipped the tests in a virtual machine: the guest runs this machine's programs, and is an x86_64"
  finish 0 0 1
fi
if ! install_programs; then
  echo 'skipped the tests in a virtual machine: qemu is not installed and cannot be installed here'
  finish 0 0 1
fi
fetch_kernel || broken 'the kernel package could not be fetched'
make_initramfs || broken 'the initramfs could not be made'
make_disks || broken 'the disks could not be made'
began=$SECONDS
boot || broken "the machine did not end by itself within $longest seconds"
echo "vm: $((SECONDS - began)) seconds from power on to off"
passed=0 failed=0 skipped=0 reports=0
while read -r line; do
  [[ $line =~ \"passed\":([0-9]+),\"failed\":([0-9]+),\"skipped\":([0-9]+) ]] || continue
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3])) reports=$((reports + 1))
done < <(grep -ao '^vm: counts .*' "$work/log")
[ "$reports" -eq ${#tests[@]} ] || broken "$reports of ${#tests[@]} test files ran to their end"
finish "$passed" "$failed" "$skipped"
