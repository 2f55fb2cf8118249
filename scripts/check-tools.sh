#!/bin/sh
# Says which of the programs a build needs are missing, and how Debian calls them.
set -u
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need node nodejs
need npm npm
need make make
need g++ g++
need python3 python3
if [ -n "$missing" ]; then
  echo "build: these programs are missing; on Debian: apt-get install$missing" >&2
  exit 1
fi
node -e '
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`build: Node 20.19 or later is needed, this is ${process.version}`);
  process.exit(1);
}'
