import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const cfsbridge = fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url));

/** Runs the installed command as a user would. Output is text. */
export function runCli(args: readonly string[], options: { env?: NodeJS.ProcessEnv; input?: Buffer; cwd?: string } = {}): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [cfsbridge, ...args], { encoding: 'utf8', ...options });
}

/** Like `runCli`, for output that is no text. */
export function runCliBytes(args: readonly string[]): { status: number | null; stdout: Buffer; stderr: Buffer } {
  return spawnSync(process.execPath, [cfsbridge, ...args], { maxBuffer: 64 << 20 });
}
