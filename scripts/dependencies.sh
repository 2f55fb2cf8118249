#!/bin/sh
# Installs the npm packages of package-lock.json and compiles the addons among them.
set -eu
cd "$(dirname "$0")/.."
if [ -L node_modules ]; then
  echo "build: node_modules is a link: taken as it is"
  exit 0
fi
echo "build: npm ci"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
node scripts/build-addon.mjs node_modules/zstd-napi
