// Compiles the TypeScript sources to dist/, removes what a deleted or renamed source left there, bundles the commands
// and compiles the bundle ahead of time.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

for (const name of existsSync(dist) ? readdirSync(dist, { recursive: true }) : []) {
  const source = /^(.*?)(?:\.d\.[cm]?ts|\.[cm]?js)$/.exec(name)?.[1];
  if (source !== undefined && !existsSync(join(root, `${source}.ts`)) && !existsSync(join(root, `${source}.cts`)))
    rmSync(join(dist, name));
}

const require = createRequire(join(root, 'package.json'));

console.log('build: tsc');
const { status } = spawnSync(
  process.execPath,
  [join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc'), '-p', root],
  { stdio: 'inherit' },
);
if (status !== 0) process.exit(status ?? 1);

// The command line in one file: reading and linking modules is most of a short command's time.
console.log('build: esbuild');
rmSync(join(dist, 'cli'), { recursive: true, force: true });
const { build } = require('esbuild');
// No server is offered HTTP/2, whose part of Node takes longer to load than a small request.
const withoutHttp2 = {
  name: 'without-http2',
  setup: ({ onLoad }) => onLoad({ filter: /\/undici\/lib\/dispatcher\/client-h2\.js$/ }, () => ({ contents: '' })),
};
const options = {
  outdir: join(dist, 'cli'),
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  minifyWhitespace: true,
  // xz-decompress is large, and few commands need it.
  external: ['zstd-napi', 'xz-decompress'],
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  define: { 'import.meta.url': 'bundleUrl' },
  logLevel: 'warning',
  plugins: [withoutHttp2],
};
await build({
  ...options,
  entryPoints: { commands: join(dist, 'src/cli/multicall.js'), mkcomposefs: join(dist, 'src/cli/mkcomposefs/main.js') },
});
// What may run when images are pulled from no registry, and commits: a third of all code, and reading that of the other
// commands is work for each process.
const PULLS = {
  pull: [
    'cli-progress',
    'cli/main.js',
    'cli/commands/oci/pull.js',
    ...['storage', 'served-layers', 'layout', 'docker-archive', 'dir'].map((name) => `oci/source/${name}.js`),
    'registry/policy/signed.js',
  ],
  commits: ['cli-progress', 'cli/main.js', 'cli/commands/ostree/pull-local.js', 'cli/commands/ostree/apply-delta.js'],
  remote: ['cli-progress', 'cli/main.js', 'cli/commands/ostree/pull.js', 'cli/commands/ostree/pull-local.js'],
};
const nameOf = (path, importer) =>
  path.startsWith('.') ? relative(join(dist, 'src'), join(dirname(importer), path)) : path;
const only = (mayRun) => ({
  name: 'only',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /./ }, ({ kind, path, importer }) =>
      kind === 'dynamic-import' && !mayRun.includes(nameOf(path, importer))
        ? { path, namespace: 'left-out' }
        : undefined,
    );
    onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not in this bundle`)});`,
    }));
  },
});
for (const [name, mayRun] of Object.entries(PULLS))
  await build({
    ...options,
    entryPoints: { [name]: join(dist, 'src/cli/multicall.js') },
    plugins: [...options.plugins, only(mayRun)],
  });
// The image proxy is started for each pull, and has to answer at once; what opens images comes when one is asked for,
// from the bundle of all commands' own parts.
await build({
  ...options,
  external: [...options.external, 'undici'],
  entryPoints: { proxy: join(dist, 'src/cli/skopeo/main.js') },
});
// A completion knows the grammar of the commands and the names of transports, and runs and opens none of them.
const withoutCommands = {
  name: 'without-commands',
  setup: ({ onLoad }) =>
    onLoad({ filter: /\/dist\/src\/(cli\/commands|oci\/source|oci\/push)\// }, ({ path }) =>
      /\.options\.js$|\/oci\/(source|push\/destination)\/(open|transports)\.js$/.test(path)
        ? undefined
        : { contents: '' },
    ),
};
await build({
  ...options,
  entryPoints: { completion: join(dist, 'src/cli/completion/main.js') },
  plugins: [...options.plugins, withoutCommands],
});

await import('./code-cache.mjs');
