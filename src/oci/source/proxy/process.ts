import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import type { Abortable } from '../../../abortable.js';
import { printable } from '../../../bytes.js';
import { debug } from '../../../debug.js';
import { BridgeError, systemCode } from '../../../errors.js';
import { ENDING, endChild, endsWithin, LastWords } from '../../../fd/child.js';
import { SocketError, socketpair, type Fd } from '../../../fd/fd-passing.js';
import { ProxyClient } from '../../../rpc/proxy/client.js';
import type { ProxyCommand } from './command.js';

/** Milliseconds until a proxy must be there: programs that start others, and machines with much to do, take a while. */
const STARTING = 60_000;
/** Sends the proxy a signal when this process dies, however that happens. Its namesake in busybox cannot. */
const SETPRIV = '/usr/bin/setpriv';

/** A proxy that was started, and ends with us. */
export class ProxyProcess implements AsyncDisposable {
  readonly client: ProxyClient;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #words: LastWords;
  readonly #signal: AbortSignal | undefined;

  private constructor(client: ProxyClient, child: ChildProcess, name: string, words: LastWords, signal?: AbortSignal) {
    this.client = client;
    this.#child = child;
    this.#name = name;
    this.#words = words;
    this.#signal = signal;
  }

  /**
   * Starts a proxy and greets it.
   * @param command its descriptors are closed in any case
   * @throws BridgeError `PROXY_FAILED` when it cannot be started or ends, `PROXY_VERSION`, `RPC_TIMEOUT`; ProxyError,
   *   RpcProtocolError, SocketError; the signal's reason
   */
  static async start(
    { argv, inherited }: ProxyCommand,
    options: { silenceLimit: number } & Abortable,
  ): Promise<ProxyProcess> {
    const { signal } = options;
    const name = printable(basename(argv[0]));
    const [ours, theirs] = socketpair('seqpacket');
    let child: ChildProcess;
    try {
      signal?.throwIfAborted();
      child = await startChild(argv, theirs, inherited, name);
    } catch (error) {
      ours.close();
      throw error;
    } finally {
      theirs.close();
      for (const fd of inherited) fd.close();
    }
    const words = new LastWords(child);
    try {
      const client = await ProxyClient.start(ours, { ...options, startLimit: STARTING });
      debug(() => `image proxy: ${name} speaks ${client.version}`);
      return new ProxyProcess(client, child, name, words, signal);
    } catch (error) {
      const explained = await explain(error, child, name, words, signal);
      await endChild(child);
      throw explained;
    }
  }

  /**
   * Why something went wrong: when the proxy has died, its last words tell more than the end of a connection.
   * @returns the error to throw
   */
  async explain(error: unknown): Promise<unknown> {
    return await explain(error, this.#child, this.#name, this.#words, this.#signal);
  }

  /** Whether it is gone, or goes within a moment. */
  async ended(): Promise<boolean> {
    return await endsWithin(this.#child, 100);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const told = await this.client.shutdown().then(
      () => true,
      () => false,
    );
    this.client[Symbol.dispose]();
    await endChild(this.#child, told && this.#signal?.aborted !== true ? ENDING : 0);
  }
}

async function startChild(
  argv: ProxyCommand['argv'],
  socket: Fd,
  inherited: readonly Fd[],
  name: string,
): Promise<ChildProcess> {
  const [program, ...args] = diesWithUs() ? [SETPRIV, '--pdeathsig', 'TERM', '--', ...argv] : argv;
  debug(() => `image proxy: ${argv.join(' ')}`);
  const child = spawn(program, args, {
    stdio: [socket.number, 'ignore', 'pipe', ...inherited.map((fd) => fd.number)],
  });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw notThere(name, (cause as Error).message, cause);
  }
  child.on('error', () => undefined);
  return child;
}

function diesWithUs(): boolean {
  try {
    return basename(realpathSync(SETPRIV)) === 'setpriv';
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

/** What follows from the other end's death, or from its waiting for somebody. */
const DEATHS = ['PEER_GONE', 'PEER_SILENT', 'RPC_TIMEOUT', 'IDLE_TIMEOUT', 'CONNECTION_CLOSED'];

async function explain(
  error: unknown,
  child: ChildProcess,
  name: string,
  words: LastWords,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const givenUp = (): boolean => signal?.aborted === true;
  if (givenUp()) return signal?.reason;
  if (!(error instanceof BridgeError) || !DEATHS.includes(error.code)) return error;
  const died = await endsWithin(child, error instanceof SocketError ? ENDING : 0);
  // The signal may have come to both, as Ctrl-C does, and here a moment later.
  if (givenUp()) return signal?.reason;
  const said = await words.heard();
  if (!died) return said === undefined ? error : failed(`${error.message}; ${name} said: ${said}`, error);
  const { exitCode, signalCode } = child;
  // What setpriv answers for a program that it cannot start.
  if (exitCode === 126 || exitCode === 127)
    return notThere(name, (said ?? `status ${exitCode}`).replace(/^setpriv: /, ''), error);
  const how = signalCode ? `by ${signalCode}` : `with status ${exitCode}`;
  return failed(`the image proxy ${name} ended ${how}${said === undefined ? ' and said nothing' : `: ${said}`}`, error);
}

function failed(message: string, cause: unknown): BridgeError {
  return new BridgeError('PROXY_FAILED', message, { cause });
}

function notThere(name: string, reason: string, cause: unknown): BridgeError {
  return failed(`the image proxy ${name} cannot be started: ${reason}; install skopeo, or name another command`, cause);
}
