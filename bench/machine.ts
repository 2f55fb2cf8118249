import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** What numbers depend on besides the programs. */
export interface Machine {
  processors: string;
  memory: string;
  kernel: string;
  node: string;
  cfsctl: string;
  /** one-minute average before the first run; more than a fraction means that somebody else was at work */
  load: number;
}

export function describeMachine(cfsctl: string): Machine {
  const all = cpus();
  return {
    processors: `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `Linux ${release()}`,
    node: process.version,
    cfsctl: execFileSync(cfsctl, ['--version'], { encoding: 'utf8' }).trim(),
    load: loadavg()[0] as number,
  };
}

export function machineText({ processors, memory, kernel, node, cfsctl, load }: Machine): string {
  return `${processors}, ${memory}, ${kernel}, Node ${node}, ${cfsctl}; load average at the start ${load.toFixed(2)}`;
}
