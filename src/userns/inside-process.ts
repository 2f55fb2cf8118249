import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Abortable } from '../abortable.js';
import { debug } from '../debug.js';
import { endChild, ENDING, endsWithin, hasEnded, LastWords } from '../fd/child.js';
import type { FdNumber } from '../native.js';
import { commandFile } from '../worker-file.js';
import { userNamespaceBan } from './bans.js';
import { userNamespaceError } from './error.js';
import { podmanMaps, type User } from './id-maps.js';
import { findMapTools, writeIdMaps } from './new-namespace.js';
import { pauseNamespace } from './pause-process.js';
import { INSIDE_ARGUMENT, type InsideTask } from './task.js';

/** Descriptor 4 is the namespace, and goes no further. */
const ENTER = ['nsenter', '--user=/proc/self/fd/4', '--preserve-credentials', '--', 'sh', '-c', 'exec "$@" 4<&-', 'sh'];
/**
 * Says so once there is a namespace, and waits until its ids are written: only what is executed after that is root.
 * Descriptor 4 is the gate; its end, without a line, is that of whoever should write the ids.
 */
const MAKE = ['unshare', '--user', '--', 'sh', '-c', 'echo && read -r _ <&4 && exec "$@" 4<&-', 'sh'];

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** A process that was started, until it is where it should be. */
interface Starting {
  child: Child;
  words: LastWords;
  lines: AsyncIterator<string, unknown>;
}

/**
 * This program, as root of the user's namespace. A process has to enter before Node starts, whose threads could not:
 * util-linux does that. It ends when this process does, however that comes about, or the connection that it was given.
 */
export class InsideProcess implements AsyncDisposable {
  readonly #child: Child;
  readonly #words: LastWords;

  private constructor({ child, words }: Starting) {
    this.#child = child;
    this.#words = words;
  }

  /**
   * Enters the namespace that podman's pause process keeps, or makes the same. It has only other ids, no other mounts:
   * descriptors from there are on the caller's mounts, between which files can be linked.
   * @param socket becomes descriptor 3 there; stays the caller's, who closes it
   * @throws BridgeError `USER_NAMESPACE` with what is missing; the signal's reason
   */
  static async start(task: InsideTask, socket: FdNumber, { signal }: Abortable = {}): Promise<InsideProcess> {
    signal?.throwIfAborted();
    const user = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    const program = [commandFile(), INSIDE_ARGUMENT, JSON.stringify(task)];
    using namespace = await pauseNamespace(user, { signal });
    const starting = namespace
      ? await startChild([...ENTER, ...program], user, socket, namespace.number)
      : await startInNew(program, user, socket, signal);
    return await untilAborted(starting, signal, async () => {
      if ((await starting.lines.next()).done)
        throw userNamespaceError(`in the user namespace: ${await lastWords(starting)}`);
      return new InsideProcess(starting);
    });
  }

  /** Hands on what it says, from now on. */
  onTalk(listener: (piece: Buffer) => void): void {
    this.#child.stderr.on('data', listener);
  }

  /** What it said last, once it has ended, or a moment later. */
  async lastWords(): Promise<string | undefined> {
    await endsWithin(this.#child, ENDING);
    return await this.#words.heard();
  }

  /** Waits for its end, which the signal brings about. @returns its exit status */
  async ended({ signal }: Abortable = {}): Promise<number> {
    const stop = (): void => void this.#child.kill('SIGTERM');
    const exit = once(this.#child, 'exit');
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    try {
      if (!hasEnded(this.#child)) await exit;
      return this.#child.exitCode ?? 1;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await endChild(this.#child, ENDING);
  }
}

async function startInNew(
  program: readonly string[],
  user: User,
  socket: FdNumber,
  signal: AbortSignal | undefined,
): Promise<Starting> {
  const maps = await podmanMaps(user, signal);
  const tools = findMapTools();
  debug(() => `user namespace: making one by ${tools.uid} and ${tools.gid}`);
  const starting = await startChild([...MAKE, ...program], user, socket, 'pipe');
  const { child, lines } = starting;
  const gate = child.stdio[4] as Writable;
  // Whoever is gone reads no line; what it said is the reason.
  gate.on('error', () => undefined);
  return await untilAborted(starting, signal, async () => {
    if ((await lines.next()).done) {
      const said = await lastWords(starting);
      throw userNamespaceError(`user namespaces are forbidden here: ${userNamespaceBan() ?? said}`);
    }
    await writeIdMaps(tools, child.pid as number, maps, signal);
    gate.end('\n');
    return starting;
  });
}

async function startChild(
  [command = '', ...args]: readonly string[],
  { uid, gid }: User,
  socket: FdNumber,
  fourth: FdNumber | 'pipe',
): Promise<Starting> {
  const child = spawn(command, args, {
    // Standard input brings nothing but its end, which is this process's, however that comes about.
    stdio: ['pipe', 'pipe', 'pipe', socket, fourth],
    cwd: '/',
    // Ctrl-C is for this process, which ends that one in its turn.
    detached: true,
    env: environment(uid, gid),
  }) as Child;
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw userNamespaceError(`${command} is not installed: the package util-linux has it`, { cause });
  }
  for (const part of [child, child.stdin]) part.on('error', () => undefined);
  return {
    child,
    words: new LastWords(child),
    lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
  };
}

/** What podman says inside its namespace, so that whoever asks for the user there gets the real one. */
function environment(uid: number, gid: number): NodeJS.ProcessEnv {
  const { NOTIFY_SOCKET: _notify, LISTEN_PID: _pid, LISTEN_FDS: _fds, COMPLETE: _shell, ...env } = process.env;
  return {
    ...env,
    // The command takes the `node` of PATH.
    PATH: [dirname(process.execPath), env['PATH'] ?? ''].join(delimiter),
    _CONTAINERS_USERNS_CONFIGURED: 'done',
    _CONTAINERS_ROOTLESS_UID: String(uid),
    _CONTAINERS_ROOTLESS_GID: String(gid),
  };
}

/** Does something with a process that was started, which ends if that fails. */
async function untilAborted<T>(
  { child }: Starting,
  signal: AbortSignal | undefined,
  act: () => Promise<T>,
): Promise<T> {
  const stop = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await act();
  } catch (error) {
    await endChild(child);
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

async function lastWords({ child, words }: Starting): Promise<string> {
  await endsWithin(child, ENDING);
  return (await words.heard()) ?? `it ended with ${child.signalCode ?? `status ${child.exitCode}`} and said nothing`;
}
