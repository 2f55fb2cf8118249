import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cfsbridge } from './run-cli.js';

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Ended>;
}

/** Starts the installed command, for tests that are its server meanwhile. */
export function startCli(args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(cfsbridge, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, ...said }));
  return { child, ended };
}
