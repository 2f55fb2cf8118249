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

// Works without its addon, and the addon is written against V8 and not Node-API.
const optional = new Set(['unix-dgram']);

for (const folder of process.argv.slice(2)) {
  const isOptional = optional.has(folder.split('/').at(-1));
  if (isOptional && !headers.complete) {
    console.log(`build: ${folder} is optional and needs V8's headers, which this Node came without: not built`);
    continue;
  }
  console.log(`build: compiling the addon in ${folder} (headers: ${headers.dir}, ${jobs} jobs)`);
  const args = [nodeGyp, 'configure', 'build', '--loglevel=error', `--nodedir=${headers.dir}`, `--jobs=${jobs}`];
  const { status, stderr } = spawnSync(process.execPath, args, {
    cwd: resolve(root, folder),
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, npm_config_nodedir: headers.dir },
  });
  // Warnings in our own sources matter, those of a package do not.
  if (folder === '.' || status !== 0) process.stderr.write(stderr);
  if (status === 0) continue;
  if (!isOptional) process.exit(1);
  console.log(`build: ${folder} is optional and did not compile: left out`);
}
