// Compiles the TypeScript sources to dist/, removes what a deleted or renamed source left there, bundles the commands
// and compiles the bundle ahead of time.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

for (const name of existsSync(dist) ? readdirSync(dist, { recursive: true }) : []) {
  const source = /^(.*?)(?:\.d\.[cm]?ts|\.[cm]?js)$/.exec(name)?.[1];
  if (source !== undefined && !existsSync(join(root, `${source}.ts`)) && !existsSync(join(root, `${source}.cts`))) rmSync(join(dist, name));
}

const require = createRequire(join(root, 'package.json'));

console.log('build: tsc');
const { status } = spawnSync(process.execPath, [join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc'), '-p', root], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

// The command line in one file: reading and linking modules is most of a short command's time.
console.log('build: esbuild');
rmSync(join(dist, 'cli'), { recursive: true, force: true });
await require('esbuild').build({
  entryPoints: { commands: join(dist, 'src/cli/multicall.js'), mkcomposefs: join(dist, 'src/cli/mkcomposefs-main.js') },
  outdir: join(dist, 'cli'),
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  minifyWhitespace: true,
  external: ['zstd-napi', 'unix-dgram'],
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  define: { 'import.meta.url': 'bundleUrl' },
  logLevel: 'warning',
});

await import('./code-cache.mjs');
