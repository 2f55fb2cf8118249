import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * To be started itself and not by Node: it starts Node with flags of its own, and the code cache is made under these.
 */
export const cfsbridge = fileURLToPath(new URL('../../../../bin/cfsbridge', import.meta.url));

// It takes the `node` of PATH.
process.env['PATH'] = `${dirname(process.execPath)}:${process.env['PATH']}`;

/** Runs the installed command as a user would. Output is text. */
export function runCli(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: Buffer; cwd?: string; timeout?: number; killSignal?: 'SIGKILL' } = {},
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(cfsbridge, args, { encoding: 'utf8', ...options });
}

/** Like `runCli`, for output that is not a text. */
export function runCliBytes(args: readonly string[]): { status: number | null; stdout: Buffer; stderr: Buffer } {
  return spawnSync(cfsbridge, args, { maxBuffer: 64 << 20 });
}
