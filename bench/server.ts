import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ourCommand } from './programs.js';

/** The kernel counts a process's time in 1/100 s, whatever its own clock rate is. */
const TICKS = 100;

/** `cfsbridge serve` in a process of its own. */
export class Server implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(
    child: ChildProcess,
    ended: Promise<unknown>,
    readonly socket: string,
  ) {
    this.#child = child;
    this.#ended = ended;
  }

  /** @returns when it listens. @throws Error when it ends instead */
  static async start(graphroot: string, socket: string): Promise<Server> {
    const [program, ...args] = ourCommand as [string, ...string[]];
    const child = spawn(program, [...args, 'serve', '--root', graphroot, '--socket', socket], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'exit');
    const [line] = (await Promise.race([once(createInterface(child.stderr), 'line'), ended])) as [unknown];
    if (child.exitCode !== null) throw new Error(`serve ended: ${line}`);
    child.stderr.resume();
    return new Server(child, ended, socket);
  }

  /** Seconds of processor time so far, in steps of 10 ms. */
  cpu(): number {
    const fields = this.#proc('stat').replace(/^.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  /** Largest resident size so far, in bytes. */
  peak(): number {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(this.#proc('status'))?.[1]) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended;
    rmSync(this.socket, { force: true });
  }

  #proc(file: string): string {
    return readFileSync(`/proc/${this.#child.pid}/${file}`, 'latin1');
  }
}
