// Compiles the TypeScript sources to dist/, removes what a deleted or renamed source left there, and bundles the commands.
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

const require = createRequire(join(root, 'package.json'));

console.log('build: tsc');
const { status } = spawnSync(process.execPath, [join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc'), '-p', root], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

// The command line in a few files instead of some hundred: reading and linking modules is most of a short command's time.
console.log('build: esbuild');
await require('esbuild').build({
  entryPoints: [join(dist, 'src/cli/multicall.js')],
  outdir: join(dist, 'cli'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['zstd-napi', 'unix-dgram'],
  banner: { js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);" },
  logLevel: 'warning',
});
