// What the tests of connections share: pairs, processes at the other end, and what a promise fails with.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Connection, Fd, fromFd, socketpair, SocketError, type SocketType } from '../../src/fd/fd-passing.js';

export const folder = mkdtempSync(join(tmpdir(), 'fd-passing-'));
after(() => rmSync(folder, { recursive: true }));
let sockets = 0;
export const newPath = (): string => join(folder, `s${sockets++}`);
const peerFile = fileURLToPath(new URL('./peer.js', import.meta.url));

/** Starts the other end; `exit` is listened for from the start, so that it cannot be missed. */
export function peer(
  task: string,
  path: string,
  argument = '',
  command: string[] = [],
): { child: ChildProcess; exit: Promise<unknown[]> } {
  const [program, ...rest] = [...command, process.execPath, peerFile, task, path, argument];
  const child = spawn(program!, rest, { stdio: 'inherit' });
  return { child, exit: once(child, 'exit') };
}

export function pair(type: SocketType = 'stream', options = {}): [Connection, Connection] {
  const [one, other] = socketpair(type);
  return [fromFd(one, options), fromFd(other, options)];
}

export function devNull(): Fd {
  return new Fd(openSync('/dev/null', 'r'));
}

export function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}

export async function errorCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SocketError ? error.code : (error as Error).name;
  }
  return 'no error';
}
