import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';

const INSIDE = 'CFSBRIDGE_BENCH_OWN_MOUNTS';

/**
 * Runs this program again in a mount namespace of its own, so that its mounts are seen by nobody else and the kernel
 * takes them down, loop devices included, however the program ends.
 * @returns the exit status of the second run; undefined when this is the second run already, or without root
 */
export async function withOwnMounts(): Promise<number | undefined> {
  if (process.env[INSIDE] !== undefined || process.getuid?.() !== 0) return undefined;
  const command = [
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  const child = spawn('unshare', command, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
  // A terminal sends Ctrl-C to both; this one must stay until the other has cleaned up.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return status ?? 128 + constants.signals[signal as NodeJS.Signals];
}

/** Whether mounts can be made. */
export function canMount(): boolean {
  return process.env[INSIDE] !== undefined;
}
