import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

/** Wants the lock for writing again and again, as containers' programs take it, and counts how often it gets it. */
const SCRIPT = `
import fcntl, select, sys
count = 0
with open(sys.argv[1], 'r+') as lock:
    print('ready', flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        count += 1
        fcntl.lockf(lock, fcntl.LOCK_UN)
print(count)
`;

/** A program that writes to the layers of a store all the time, or would like to. */
export class StoreWriter implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#ended = once(process, 'exit');
  }

  static async start(graphroot: string): Promise<StoreWriter> {
    const child = spawn('python3', ['-c', SCRIPT, join(graphroot, 'overlay-layers/layers.lock')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return new StoreWriter(child);
  }

  /** Ends it. @returns how often it could write; waits until it has had the lock it is waiting for */
  async stop(): Promise<number> {
    this.#process.stdin?.end();
    return Number(await text(this.#process.stdout!));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#ended;
  }
}
