import fs = require('node:fs');
import path = require('node:path');
import v8 = require('node:v8');
import vm = require('node:vm');

const FOLDER = path.join(__dirname, '..', '..', 'cli');
/**
 * `mkcomposefs` is that command alone, which others call for every image they make; `pull` is `oci pull` from what is
 * on this machine, `commits` the same of ostree, `remote` that of a server; `proxy` is skopeo's image proxy, which is
 * started for every pull; `completion` is called for every Tab.
 */
type Bundle = 'commands' | 'mkcomposefs' | 'pull' | 'commits' | 'remote' | 'proxy' | 'completion';
const BUNDLES: readonly Bundle[] = ['commands', 'mkcomposefs', 'pull', 'commits', 'remote', 'proxy', 'completion'];

// A pull makes many short-lived objects; with V8's defaults, which are meant for servers, the heap grows for them by
// tens of megabytes. The size of the young generation can only be set when the process starts, see `bin/cfsbridge`.
// (That also takes NODE_EXTRA_CA_CERTS away: Node would read those certificates at every start, which takes longer than
// all else. Here they are read when a registry is asked, see `restoreAuthorities`. `env -u` in the first line would do
// that without a shell, but pnpm makes scripts of first lines and misreads it.) V8 takes a code cache only under the
// flags it was made with, so these are set before either.
v8.setFlagsFromString('--heap-growing-percent=15');
// These processes live for a second, of which V8's optimizing compiler takes a fifth. Most of that goes into functions
// that were inlined into others; with less of them it is done sooner, and what runs is hardly slower.
v8.setFlagsFromString('--max-inlined-bytecode-size-cumulative=200');

interface CommandsModule {
  exports: { printableLines?: (text: string) => string };
}
type Commands = (
  exports: object,
  require: NodeJS.Require,
  module: CommandsModule,
  filename: string,
  dirname: string,
) => void;

const sourceOf = (bundle: Bundle): string => path.join(FOLDER, `${bundle}.cjs`);
/**
 * V8 compares its own version only, and versions of Node have the same with other changes: code of 20.20 fails in
 * 20.19.
 */
const codeCacheOf = (bundle: Bundle): string => path.join(FOLDER, `${bundle}-${process.version}.cache`);

function compile(bundle: Bundle, cachedData?: Buffer): vm.Script {
  return new vm.Script(
    `(function (exports, require, module, __filename, __dirname) {${fs.readFileSync(sourceOf(bundle), 'latin1')}\n})`,
    {
      filename: sourceOf(bundle),
      ...(cachedData && { cachedData }),
    },
  );
}

/** V8 looks at the length of the source only: a cache that is older than the bundle may belong to another one. */
function readCache(bundle: Bundle): Buffer | undefined {
  const cache = fs.statSync(codeCacheOf(bundle), { throwIfNoEntry: false });
  return cache && cache.mtimeMs >= fs.statSync(sourceOf(bundle)).mtimeMs
    ? fs.readFileSync(codeCacheOf(bundle))
    : undefined;
}

/**
 * Runs the bundled commands: with the code that was compiled when the package was installed, as far as it is of this
 * Node.
 */
function run(wanted: 'commands' | 'mkcomposefs'): void {
  const bundle = wanted === 'commands' ? bundleOf(path.basename(process.argv[1] ?? ''), process.argv.slice(2)) : wanted;
  restoreAuthorities();
  const module: CommandsModule = { exports: {} };
  process.on('uncaughtException', (error) => reportDefect(error, module));
  endRatherThanAbort();
  const commands = compile(bundle, readCache(bundle)).runInThisContext() as Commands;
  // Thousands of answers leave much behind. With less room each second would have five collections of all there is.
  if (bundle === 'remote') v8.setFlagsFromString('--heap-growing-percent=100');
  commands(module.exports, require, module, sourceOf(bundle), FOLDER);
}

/** The commands that others call often, or that shall be done soon, have bundles without the rest. */
function bundleOf(called: string, args: readonly string[]): Bundle {
  if (['mkcomposefs', 'composefs-info'].includes(called)) return 'commands';
  if (called === 'skopeo' || isProxy(args)) return 'proxy';
  const { COMPLETE: shell = '' } = process.env;
  // By clap's protocol, in which all commands but those two answer.
  if (!['', '0'].includes(shell)) return 'completion';
  // The version is with the grammar, which is in both.
  const isVersion = args.length === 1 && ['--version', '-V'].includes(args[0] ?? '');
  if (isVersion) return 'pull';
  const [group, command, ...rest] = behindRepository(args);
  if (group === 'ostree' && (command === 'pull-local' || command === 'apply-delta')) return 'commits';
  if (group === 'ostree' && command === 'pull') return 'remote';
  return group === 'oci' && command === 'pull' && isLocal(rest) ? 'pull' : 'commands';
}

/** Whether skopeo's command comes first, behind options and their values at most. */
function isProxy(args: readonly string[]): boolean {
  const at = args.indexOf('experimental-image-proxy');
  return at >= 0 && args.slice(0, at).every((arg, index) => arg.startsWith('-') || args[index - 1]?.startsWith('-'));
}

/** The arguments from the command on, where only options about the repository stand before it. */
function behindRepository(args: readonly string[]): readonly string[] {
  let at = 0;
  for (; /^--(?:repo(?:=.*)?|insecure|require-verity)$/s.test(args[at] ?? ''); at++) if (args[at] === '--repo') at++;
  return args.slice(at);
}

/** Whether this can only be a pull from no registry or server. What is not sure is not one. */
function isLocal(args: readonly string[]): boolean {
  return !args.some((arg) => /^(?:docker(?:-daemon)?:|registry:|sif:|tarball:|--socket|--proxy)/.test(arg));
}

/** The runtime aborts where it cannot go on, which is nothing that users should get a core dump for. */
function endRatherThanAbort(): void {
  try {
    (require('../../../build/Release/cfsbridge.node') as { endRatherThanAbort(): void }).endRatherThanAbort();
  } catch {
    // The commands say what is wrong with the addon.
  }
}

/**
 * What `bin/cfsbridge` has put aside, for whoever reads the environment from here on: this program, and those it
 * starts.
 */
function restoreAuthorities(): void {
  const { CFSBRIDGE_EXTRA_CA_CERTS: authorities } = process.env;
  delete process.env['CFSBRIDGE_EXTRA_CA_CERTS'];
  if (authorities) process.env['NODE_EXTRA_CA_CERTS'] = authorities;
}

/** Node would print the line of the bundle, too, which is most of it; and names from outside as they are. */
function reportDefect(
  error: Error & { code?: string },
  { exports: { printableLines = String } }: CommandsModule,
): void {
  try {
    fs.writeSync(
      process.stderr.fd,
      `${printableLines((error.code === 'NOT_BUILT' ? `Error: ${error.message}` : error.stack) ?? String(error))}\n`,
    );
  } finally {
    process.exit(1);
  }
}

/**
 * Compiles the bundled commands and keeps the results beside them. Without these they work the same, and start later.
 */
function writeCodeCaches(): void {
  // What is not compiled now would be in each process when it is first called.
  v8.setFlagsFromString('--no-lazy');
  const scripts = BUNDLES.map((bundle) => compile(bundle));
  v8.setFlagsFromString('--lazy');
  BUNDLES.forEach((bundle, index) => fs.writeFileSync(codeCacheOf(bundle), scripts[index]!.createCachedData()));
}

export = { run, bundleOf, writeCodeCaches };
