// The shipped command with what it costs: processor time, memory, and how long it takes to end when it is told to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { cfsbridge } from '../support/cli/run-cli.js';

export interface Measured {
  status: number | null;
  signal: NodeJS.Signals | null;
  /** The first 64 KiB. */
  stdout: string;
  /** Bytes of standard output. */
  written: number;
  stderr: string;
  /** of the processor, user and system together */
  seconds: number;
  mebibytes: number;
  /** How long it took to end after `interruptAfter`, in seconds. */
  ending: number;
}

const REPORT = encodeURIComponent(
  'import{writeSync}from"node:fs";process.on("exit",()=>writeSync(3,JSON.stringify(process.resourceUsage())))',
);

/**
 * @param options.interruptAfter sends SIGINT when so many bytes have been written, or after so many milliseconds
 * @param options.limit the run is killed after so many seconds, and the status null then
 */
export async function measured(
  args: readonly string[],
  options: { interruptAfter?: { bytes: number } | { milliseconds: number }; limit?: number } = {},
): Promise<Measured> {
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
    NODE_OPTIONS: `--import=data:text/javascript,${REPORT}`,
  };
  const child = spawn(cfsbridge, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const [, out, errors, usage] = child.stdio as unknown as NodeJS.ReadableStream[];
  let [stdout, stderr, report, written, interrupted] = ['', '', '', 0, 0];
  const interrupt = (): void => {
    if (interrupted === 0) child.kill('SIGINT');
    interrupted ||= performance.now();
  };
  const after = options.interruptAfter;
  const timers = [setTimeout(() => child.kill('SIGKILL'), 1000 * (options.limit ?? 60))];
  if (after && 'milliseconds' in after) timers.push(setTimeout(interrupt, after.milliseconds));
  out!.on('data', (data: Buffer) => {
    written += data.length;
    if (stdout.length < 65_536) stdout += data.toString('latin1');
    if (after && 'bytes' in after && written >= after.bytes) interrupt();
  });
  errors!.on('data', (data: Buffer) => (stderr += data.toString()));
  usage!.on('data', (data: Buffer) => (report += data.toString()));
  const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  timers.forEach(clearTimeout);
  const {
    userCPUTime = 0,
    systemCPUTime = 0,
    maxRSS = 0,
  } = report === '' ? {} : (JSON.parse(report) as NodeJS.ResourceUsage);
  const ending = interrupted === 0 ? 0 : (performance.now() - interrupted) / 1000;
  return {
    status,
    signal,
    stdout,
    written,
    stderr,
    seconds: (userCPUTime + systemCPUTime) / 1e6,
    mebibytes: Math.round(maxRSS / 1024),
    ending,
  };
}
