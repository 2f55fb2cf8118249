import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from '../src/fd/fd-passing.js';
import { isErrno } from '../src/fd/fd.js';
import { ourCommand } from './programs.js';

/** The kernel counts a process's time in 1/100 s, whatever its own clock rate is. */
const TICKS = 100;

/** A server in a process of its own. */
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

  /** `cfsbridge serve`. */
  static start(graphroot: string, socket: string): Promise<Server> {
    return Server.run([...ourCommand, 'serve', '--root', graphroot, '--socket', socket], socket);
  }

  /**
   * @param command a server that makes `socket`
   * @returns when connections are accepted. @throws Error when it ends instead
   */
  static async run(command: readonly string[], socket: string): Promise<Server> {
    const [program, ...args] = command as [string, ...string[]];
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'exit');
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    while (!(await answers(socket))) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${command.join(' ')} ended: ${errors}`);
      await pause(5);
    }
    return new Server(child, ended, socket);
  }

  /** Seconds of processor time so far, in steps of 10 ms. */
  cpu(): number {
    const fields = this.#proc('stat')
      .replace(/^.*\) /s, '')
      .split(' ');
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

async function answers(socket: string): Promise<boolean> {
  try {
    (await connect(socket)).close();
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ECONNREFUSED')) return false;
    throw error;
  }
}
