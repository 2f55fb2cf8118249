// Compiles the TypeScript sources to dist/, and removes what a deleted or renamed source left there.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

for (const name of existsSync(dist) ? readdirSync(dist, { recursive: true }) : []) {
  const source = /^(.*?)(?:\.d\.ts|\.js)$/.exec(name)?.[1];
  if (source !== undefined && !existsSync(join(root, `${source}.ts`))) rmSync(join(dist, name));
}

console.log('build: tsc');
const package_ = createRequire(join(root, 'package.json')).resolve('typescript/package.json');
const { status } = spawnSync(process.execPath, [join(dirname(package_), 'bin', 'tsc'), '-p', root], { stdio: 'inherit' });
process.exit(status ?? 1);
