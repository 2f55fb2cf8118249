// Finds the C headers of the running Node without downloading them, and prints the folder node-gyp
// wants as `nodedir`. Debian's nodejs package and some images come without headers; the addons here
// need Node-API only, so the `node-api-headers` package and a few lines of gyp stand in.
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// node-gyp includes this file of Node's own; these are the settings a Node-API addon on Linux needs.
const commonGypi = `{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': {
      'Release': { 'cflags': ['-O3', '-fno-omit-frame-pointer'] },
      'Debug': { 'cflags': ['-O0', '-g'] },
    },
    'cflags': ['-pthread', '-Wall'],
    'cflags_cc': ['-std=gnu++17', '-fno-rtti', '-fno-exceptions'],
    'ldflags': ['-pthread'],
  },
}
`;

/** @returns {string} the folder that holds `include/node`, with all of Node's headers or only Node-API's */
export function nodeHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const own = join(prefix, 'include', 'node');
  if (['node_api.h', 'common.gypi', 'config.gypi'].every((name) => existsSync(join(own, name)))) return prefix;
  return assembleHeaders();
}

function assembleHeaders() {
  const dir = join(root, '.cache', 'node-headers');
  const include = join(dir, 'include', 'node');
  mkdirSync(include, { recursive: true });
  const source = createRequire(join(root, 'package.json'))('node-api-headers').include_dir;
  for (const name of readdirSync(source)) copyFileSync(join(source, name), join(include, name));
  writeFileSync(join(include, 'common.gypi'), commonGypi);
  writeFileSync(join(include, 'config.gypi'), JSON.stringify(process.config));
  return dir;
}
