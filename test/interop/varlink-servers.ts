import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from '../../src/fd/fd-passing.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl } from './peers.js';

/** Programs that serve repositories over varlink, by the arguments they need before `varlink`. */
export const servers = {
  cfsctl: [cfsctl, '--insecure'],
  cfsbridge: [cfsbridge],
} as const;
export type ServerName = keyof typeof servers;

const STARTS_WITHIN = 10_000;

/** Starts a server on a socket; disposing ends it. */
export async function startServer(name: ServerName, socket: string): Promise<AsyncDisposable> {
  const [program, ...options] = servers[name];
  const child = spawn(program, [...options, 'varlink', '--address', socket], { stdio: 'inherit' });
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill();
    await ended;
  };
  for (const start = Date.now(); ; await pause(20)) {
    try {
      (await connect(socket)).close();
      return { [Symbol.asyncDispose]: stop };
    } catch (error) {
      if (child.exitCode === null && Date.now() - start < STARTS_WITHIN) continue;
      await stop();
      throw error;
    }
  }
}
