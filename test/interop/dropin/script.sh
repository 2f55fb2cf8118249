#!/bin/sh
# What a script does that was written for cfsctl: $CFSCTL is the program, in PATH or not. Works in the current folder, which has an
# OCI layout in `layout` with the images `first` and `second` and the artifact `artifact`, and a folder `rootfs`.
set -eu
c="$CFSCTL --repo repo"

# Ids of what cfsctl writes in no fixed order, and lists in the order of the directory.
steady() { grep -v '^verity '; }
must_fail() { if "$@" 2>/dev/null; then echo "unexpected success: $*"; else echo "status $?: $*" | sed "s|$CFSCTL|cfsctl|g"; fi; }

$CFSCTL init --insecure repo
$c init --insecure
for image in first second artifact; do $c oci pull "oci:layout:$image" "example/$image" | steady; done
manifest=$($c oci pull oci:layout:first latest | sed -n 's/^manifest *//p')
$c oci tag "$manifest" stable
$c oci images | sort
$c oci images --json | python3 -c 'import json, sys; print(sorted(i["name"] for i in json.load(sys.stdin)["images"]))'
$c oci inspect stable --config | sha256sum
diff_id=$($c oci inspect stable --config | python3 -c 'import json, sys; print(json.load(sys.stdin)["rootfs"]["diff_ids"][0])')
$c oci layer "$diff_id" | sha256sum
$c oci layer "$diff_id" | $c oci import-layer "$diff_id" kept/layer
$c oci layer --dumpfile "$diff_id" | wc -l
$c oci dump stable | sha256sum
id=$($c oci compute-id stable)
$c create-image rootfs web
$c image-objects refs/web | sort
$c images --no-trunc | sort
$c dump-files refs/web /usr

mkdir mnt
if [ "${MOUNT:-}" ]; then
  $c oci mount --fuse no stable mnt
  find mnt -printf '%P %y %m %s %l\n' | sort
  cat mnt/usr/app | sha256sum
  umount mnt
  $c mount --fuse=no "$id" mnt
  ls mnt/usr
  umount mnt
fi

must_fail $c oci inspect nothing
must_fail $c oci mount --upperdir x stable mnt
must_fail $c oci untag nothing
must_fail $c --hash sha256 images
must_fail $c --require-verity images
must_fail $CFSCTL --repo elsewhere images

$c oci untag stable
$c oci untag example/second
$c gc --dry-run | head -1
$c gc >/dev/null
$c gc
$c fsck
$c oci fsck
$c oci fsck latest --json
$CFSCTL init --insecure --algorithm fsverity-sha512-12 copy
$CFSCTL --repo copy oci copy --from repo latest --name copied | grep -v verity
$CFSCTL --repo copy gc >/dev/null
$CFSCTL --repo copy oci fsck
printf 'damaged' >"repo/objects/$(ls -d repo/objects/*/* | sort | head -1 | cut -d/ -f3-)"
must_fail $c fsck
