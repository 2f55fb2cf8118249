import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

export type Language = 'go' | 'rust';

/** A peer ready to run, or why there is none. */
export type Peer = { program: string } | { missing: string };

interface Recipe {
  tool: string;
  fetch: string[];
  build: string[];
  program: string;
}

const cache = join(root, '.cache/peers');

const recipes: Record<Language, Recipe> = {
  go: {
    tool: 'go',
    fetch: ['mod', 'download'],
    build: ['build', '-o', join(cache, 'jsonrpc-go/jsonrpc-go'), '.'],
    program: join(cache, 'jsonrpc-go/jsonrpc-go'),
  },
  rust: {
    tool: 'cargo',
    fetch: ['fetch'],
    build: ['build', '--release', '--offline', '--target-dir', join(cache, 'jsonrpc-rust')],
    program: join(cache, 'jsonrpc-rust/release/jsonrpc-rust'),
  },
};

/**
 * Builds the peer of this folder that is written in `language`, in `.cache`; the first time takes minutes.
 * @returns why not, when the language or the registry with the library is not there
 * @throws Error with the compiler's messages; when the library is not the one that was recorded
 */
export function buildPeer(language: Language): Peer {
  const { tool, fetch, build, program } = recipes[language];
  const cwd = join(root, 'test/peers', `jsonrpc-${language}`);
  mkdirSync(join(cache, `jsonrpc-${language}`), { recursive: true });
  const run = (args: string[]) => spawnSync(tool, args, { cwd, encoding: 'utf8' });
  const fetched = run(fetch);
  if (fetched.error) return { missing: `${tool} cannot be run: ${fetched.error.message}` };
  if (fetched.status !== 0) {
    if (/checksum/.test(fetched.stderr)) throw new Error(fetched.stderr);
    return { missing: `${tool} cannot get the library: ${fetched.stderr.trim().replaceAll(/\s+/g, ' ').slice(0, 300)}` };
  }
  const built = run(build);
  if (built.status !== 0) throw new Error(`${tool} ${build.join(' ')}\n${built.stderr}`);
  return { program };
}

/** A server that was started for a test. */
export interface Running extends AsyncDisposable {
  /** everything it wrote to its standard error so far */
  errors(): string;
}

/**
 * Starts a program that says with its first line, on either output, that it listens.
 * @param openFiles its RLIMIT_NOFILE, soft and hard
 * @throws Error when it ends without a line
 */
export async function start(command: readonly string[], openFiles = 1024): Promise<Running> {
  const child = spawn('prlimit', [`--nofile=${openFiles}:${openFiles}`, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = once(child, 'exit');
  const line = [child.stdout, child.stderr].map((output) => once(createInterface(output), 'line'));
  const first = await Promise.race([...line, ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`${command.join(' ')} ended: ${errors}`);
  child.stdout.resume();
  return { errors: () => errors, [Symbol.asyncDispose]: () => stop(child, ended) };
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
  const { status, stdout, stderr } = spawnSync('prlimit', command, { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 120_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Report;
}
