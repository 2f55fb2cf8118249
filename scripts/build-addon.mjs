// build-addon.mjs FOLDER...   compiles the native addon of each package folder with node-gyp
//
// Called directly and not through npm's install scripts: newer npm versions hold those back, and
// the packages' own scripts would first try to download a binary.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeHeaders } from './node-headers.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nodeGyp = createRequire(join(root, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
const headers = nodeHeaders();
const jobs = process.env.JOBS || String(availableParallelism());

for (const folder of process.argv.slice(2)) {
  console.log(`build: compiling the addon in ${folder} (headers: ${headers}, ${jobs} jobs)`);
  // Only here: whoever installs the package may have a compiler that warns of something else.
  const flags = folder === '.' ? { CXXFLAGS: `${process.env.CXXFLAGS ?? ''} -Werror` } : {};
  const args = [nodeGyp, 'configure', 'build', '--loglevel=error', `--nodedir=${headers}`, `--jobs=${jobs}`];
  const { status, stderr } = spawnSync(process.execPath, args, {
    cwd: resolve(root, folder),
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, ...flags, npm_config_nodedir: headers },
  });
  // Warnings in our own sources matter, those of a package do not.
  if (folder === '.' || status !== 0) process.stderr.write(stderr);
  if (status !== 0) process.exit(1);
}
