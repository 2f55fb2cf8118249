import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The programs: those in the folders next to this file, and the two examples. */
export type PeerName =
  | 'jsonrpc-go'
  | 'jsonrpc-rust'
  | 'containers-storage'
  | 'registry-go'
  | 'varlink-rust'
  | 'image-proxy-client'
  | 'ostree-ext-client'
  | 'example-go'
  | 'example-rust';

/** A peer ready to run, or why there is none. */
export type Peer = { program: string } | { missing: string };

interface Recipe {
  /** below the project's */
  folder: string;
  tool: string;
  fetch: string[];
  build: string[];
  env?: NodeJS.ProcessEnv;
  program: string;
  /** what pkg-config has to know, and Debian's packages for it */
  libraries?: { names: string[]; packages: string };
}

const installed = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
/** With the other real programs, where another checkout finds them, too; or in this one. */
const cache = canWrite(installed) ? join(installed, 'built') : join(root, '.cache/peers');

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const recipes: Record<PeerName, Recipe> = {
  'jsonrpc-go': goProgram('test/peers/jsonrpc-go', 'jsonrpc-go'),
  'jsonrpc-rust': rustProgram('test/peers/jsonrpc-rust', 'jsonrpc-rust'),
  // Without C, so that no headers of libraries are needed; the btrfs driver cannot do without.
  'containers-storage': goProgram(
    'test/peers/containers-storage',
    'containers-storage',
    ['-tags', 'exclude_graphdriver_btrfs'],
    { CGO_ENABLED: '0' },
  ),
  'registry-go': goProgram('test/peers/registry-go', 'registry-go', [], { CGO_ENABLED: '0' }),
  'varlink-rust': rustProgram('test/peers/varlink-rust', 'varlink-rust'),
  'image-proxy-client': rustProgram('test/peers/image-proxy-client', 'image-proxy-client'),
  'ostree-ext-client': {
    ...rustProgram('test/peers/ostree-ext-client', 'ostree-ext-client'),
    libraries: { names: ['ostree-1', 'libzstd', 'openssl'], packages: 'libostree-dev, libzstd-dev and libssl-dev' },
  },
  'example-go': goProgram('examples/go', 'pull-layer-go'),
  'example-rust': rustProgram('examples/rust', 'pull-layer'),
};

function goProgram(folder: string, name: string, options: string[] = [], env: NodeJS.ProcessEnv = {}): Recipe {
  const program = join(cache, name, name);
  return {
    folder,
    tool: 'go',
    fetch: ['mod', 'download'],
    build: ['build', ...options, '-o', program, '.'],
    env,
    program,
  };
}

/** All in one place, so that a library which several of them use in the same way is compiled once. */
function rustProgram(folder: string, name: string): Recipe {
  const target = join(cache, 'rust');
  return {
    folder,
    tool: 'cargo',
    fetch: ['fetch'],
    build: ['build', '--release', '--offline', '--target-dir', target],
    // Tests wait for it more than for what it does.
    env: { CARGO_PROFILE_RELEASE_OPT_LEVEL: '1' },
    program: join(target, 'release', name),
  };
}

/**
 * Builds a program, see `cache`; the first time takes minutes.
 * @returns why not, when the language or the registry with the libraries is not there
 * @throws Error with the compiler's messages; when a library is not the one that was recorded
 */
export function buildPeer(name: PeerName): Peer {
  const { folder, tool, fetch, build, env, program, libraries } = recipes[name];
  if (libraries !== undefined && spawnSync('pkg-config', ['--exists', ...libraries.names]).status !== 0)
    return { missing: `${name} is linked with what Debian has in ${libraries.packages}` };
  const run = (args: string[]) =>
    spawnSync(tool, args, { cwd: join(root, folder), env: { ...process.env, ...env }, encoding: 'utf8' });
  const fetched = run(fetch);
  if (fetched.error) return { missing: `${tool} cannot be run: ${fetched.error.message}` };
  if (fetched.status !== 0) {
    if (/checksum/.test(fetched.stderr)) throw new Error(fetched.stderr);
    return {
      missing: `${tool} cannot get the libraries: ${fetched.stderr.trim().replaceAll(/\s+/g, ' ').slice(0, 300)}`,
    };
  }
  const built = run(build);
  if (built.status !== 0) throw new Error(`${tool} ${build.join(' ')}\n${built.stderr}`);
  return { program };
}

/** A server that was started for a test. */
export interface Running extends AsyncDisposable {
  /** the line */
  first: string;
  /** everything it wrote to its standard error so far */
  errors(): string;
}

/**
 * Starts a program that says with its first line, on either output, that it listens.
 * @param openFiles its RLIMIT_NOFILE, soft and hard
 * @throws Error when it ends without a line
 */
export async function start(command: readonly string[], openFiles = 1024): Promise<Running> {
  const child = spawn('prlimit', [`--nofile=${openFiles}:${openFiles}`, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = once(child, 'exit');
  const line = [child.stdout, child.stderr].map((output) => once(createInterface(output), 'line'));
  const [first] = (await Promise.race([...line, ended.then(() => [])])) as [string?];
  if (first === undefined) throw new Error(`${command.join(' ')} ended: ${errors}`);
  child.stdout.resume();
  return { first, errors: () => errors, [Symbol.asyncDispose]: () => stop(child, ended) };
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill();
  await ended;
}

/** What a peer's client prints. */
export interface Report {
  manifest: string;
  config: string;
  /** top layer first */
  layers: { id: string; digest: string; size: number; files: number; streamSize: number }[];
}

/** Runs a peer's client. @throws Error with what it wrote to its standard error */
export function askWith(peer: { program: string }, socket: string, image: string, openFiles = 1024): Report {
  const command = [`--nofile=${openFiles}:${openFiles}`, peer.program, 'client', socket, image];
  const { status, stdout, stderr } = spawnSync('prlimit', command, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Report;
}
