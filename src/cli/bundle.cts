import fs = require('node:fs');
import path = require('node:path');
import v8 = require('node:v8');
import vm = require('node:vm');

const FOLDER = path.join(__dirname, '..', '..', 'cli');
/** `mkcomposefs` is that command alone, which others call for every image they make. */
type Bundle = 'commands' | 'mkcomposefs';
const BUNDLES: readonly Bundle[] = ['commands', 'mkcomposefs'];

// A pull makes many short-lived objects; with V8's defaults, which are meant for servers, the heap grows for them by tens of
// megabytes. The size of the young generation can only be set when the process starts, see `bin/cfsbridge`. (That also takes
// NODE_EXTRA_CA_CERTS away: Node would read those certificates at every start, which takes longer than all else, and nothing here
// uses TLS. `env -u` in the first line would do that without a shell, but pnpm makes scripts of first lines and misreads it.)
// V8 takes a code cache only under the flags it was made with, so these are set before either.
v8.setFlagsFromString('--heap-growing-percent=15');

type Commands = (exports: object, require: NodeJS.Require, module: object, filename: string, dirname: string) => void;

const sourceOf = (bundle: Bundle): string => path.join(FOLDER, `${bundle}.cjs`);
/** V8 compares its own version only, and versions of Node have the same with other changes: code of 20.20 fails in 20.19. */
const codeCacheOf = (bundle: Bundle): string => path.join(FOLDER, `${bundle}-${process.version}.cache`);

function compile(bundle: Bundle, cachedData?: Buffer): vm.Script {
  // Given only where Node has it; there it lets the bundle import packages that are not in it.
  const importModuleDynamically = (vm.constants as Partial<typeof vm.constants> | undefined)?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  return new vm.Script(`(function (exports, require, module, __filename, __dirname) {${fs.readFileSync(sourceOf(bundle), 'latin1')}\n})`, {
    filename: sourceOf(bundle),
    ...(cachedData && { cachedData }),
    ...(importModuleDynamically !== undefined && { importModuleDynamically }),
  });
}

/** V8 looks at the length of the source only: a cache that is older than the bundle may belong to another one. */
function readCache(bundle: Bundle): Buffer | undefined {
  const cache = fs.statSync(codeCacheOf(bundle), { throwIfNoEntry: false });
  return cache && cache.mtimeMs >= fs.statSync(sourceOf(bundle)).mtimeMs ? fs.readFileSync(codeCacheOf(bundle)) : undefined;
}

/** Runs the bundled commands: with the code that was compiled when the package was installed, as far as it is of this Node. */
function run(bundle: Bundle): void {
  process.on('uncaughtException', reportDefect);
  const commands = compile(bundle, readCache(bundle)).runInThisContext() as Commands;
  const module = { exports: {} };
  commands(module.exports, require, module, sourceOf(bundle), FOLDER);
}

/** Node would print the line of the bundle, too, which is most of it. */
function reportDefect(error: Error & { code?: string }): void {
  try {
    fs.writeSync(process.stderr.fd, `${error.code === 'NOT_BUILT' ? `Error: ${error.message}` : error.stack}\n`);
  } finally {
    process.exit(1);
  }
}

/** Compiles the bundled commands and keeps the results beside them. Without these they work the same, and start later. */
function writeCodeCaches(): void {
  // What is not compiled now would be in each process when it is first called.
  v8.setFlagsFromString('--no-lazy');
  const scripts = BUNDLES.map((bundle) => compile(bundle));
  v8.setFlagsFromString('--lazy');
  BUNDLES.forEach((bundle, index) => fs.writeFileSync(codeCacheOf(bundle), scripts[index]!.createCachedData()));
}

export = { run, writeCodeCaches };
