import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { PulledLayer } from '../../src/oci/pull/types.js';
import { graphroot, succeed } from './peers.js';

/** The limit of descriptors that most processes run under; Node raises the soft one, so both are set. */
const LIMIT = ['prlimit', '--nofile=1024:1024'];

/** The path of one of the programs in this folder. */
export function program(name: string): string {
  return fileURLToPath(new URL(`./${name}.program.js`, import.meta.url));
}

/** Our server of a store, in a process of its own until disposed. */
export class StoreServer implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(socket: string, store: string = graphroot): Promise<StoreServer> {
    const child = spawn(
      LIMIT[0] as string,
      [...LIMIT.slice(1), process.execPath, program('store-server'), store, socket],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const first = await Promise.race([
      once(child.stdout, 'data').then(() => 'ready'),
      once(child, 'exit').then(() => 'gone'),
    ]);
    if (first !== 'ready') throw new Error(`the server of ${store} did not start`);
    return new StoreServer(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#process, 'exit');
    this.#process.stdin?.end();
    await exit;
  }
}

/** What `pull.program.js` prints. */
export interface SocketPull {
  manifestDigest: string;
  configDigest: string;
  images: string[];
  layers: PulledLayer[];
}

/** Pulls over a socket in a process of its own. @param runner command to run it by, such as `setpriv` with options */
export function pullOverSocket(
  repository: string,
  socket: string,
  reference: string,
  tag: string,
  runner: readonly string[] = LIMIT,
): SocketPull {
  const [command, ...options] = runner as [string, ...string[]];
  return JSON.parse(
    succeed(command, [...options, process.execPath, program('pull'), repository, socket, reference, tag]),
  ) as SocketPull;
}
