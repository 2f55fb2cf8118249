// Servers as their users start them, with a socket that lets everybody in, for attacks on them.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asAttacker } from './attack.js';

const cfsbridge = fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url));

/** `cfsbridge` serving in a process of its own until disposed. */
export class AttackedServer implements AsyncDisposable {
  errors = '';

  private constructor(
    readonly child: ChildProcess,
    readonly socket: string,
  ) {
    child.stderr!.on('data', (data: Buffer) => (this.errors += data.toString()));
  }

  /**
   * @param args of `cfsbridge`, without the socket
   * @param runner what to start it by, such as `prlimit` with options
   */
  static async start(
    folder: string,
    args: readonly string[],
    runner: readonly string[] = [],
    name = 'socket',
  ): Promise<AttackedServer> {
    const socket = join(folder, name);
    const option = args.includes('serve') ? '--socket' : '--address';
    const [program, ...rest] = [...runner, cfsbridge, ...args, option, socket];
    const child = spawn(program as string, rest, { stdio: ['ignore', 'inherit', 'pipe'] });
    const server = new AttackedServer(child, socket);
    while (!server.errors.includes('serving')) {
      const ended = await Promise.race([
        once(child.stderr!, 'data').then(() => false),
        once(child, 'exit').then(() => true),
      ]);
      if (ended) throw new Error(`the server ended: ${server.errors}`);
    }
    chmodSync(socket, 0o666);
    return server;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.running) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }
}

/** Runs one of this folder's programs as the attacker. @returns what it prints, which is JSON */
export function asStranger<T>(program: string, args: readonly string[]): T {
  const [command = '', ...options] = asAttacker;
  const file = fileURLToPath(new URL(`./${program}.program.js`, import.meta.url));
  const { stdout, stderr, status } = spawnSync(command, [...options, process.execPath, file, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`${program}: ${status}: ${stderr}`);
  return JSON.parse(stdout) as T;
}
