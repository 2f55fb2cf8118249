#!/bin/sh
# The first process of the machine that vm.sh boots: makes a system of it, runs the tests, switches it off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod "$module"; done
cd "$(cat /project)" || echo 'vm: the project is not there'
export NO_COLOR=1
while read -r test; do
  rm -f /tmp/counts
  node --test-reporter=./dist/test/support/reporter.js --test-reporter-destination=stdout \
    --test-reporter=./dist/test/support/reporter-counts.js --test-reporter-destination=/tmp/counts "$test" </dev/null
  echo "vm: counts $(cat /tmp/counts)"
  read -r uptime _ </proc/uptime
  echo "vm: $uptime seconds"
done </tests
sync
echo o >/proc/sysrq-trigger
while :; do read -r _ </dev/ttyS0; done
