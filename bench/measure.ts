import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sample } from './samples.js';

const source = fileURLToPath(new URL('../../bench/measure.cc', import.meta.url));

export interface Run {
  sample: Sample;
  stdout: string;
}

/** Runs commands and says what each of them took. */
export class Measure {
  readonly #helper: string;
  readonly #report: string;
  readonly #signal: AbortSignal;

  /**
   * Compiles the helper.
   * @param folder for the helper and its reports; not removed here
   * @param signal kills the running command
   * @throws Error when there is no C++ compiler
   */
  constructor(folder: string, signal: AbortSignal) {
    this.#helper = join(folder, 'measure');
    this.#report = join(folder, 'measure.report');
    this.#signal = signal;
    execFileSync(process.env['CXX'] ?? 'g++', ['-O1', '-Wall', '-o', this.#helper, source], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  /**
   * @param environment added to this process's own
   * @throws Error with the command's standard error when it fails; the signal's reason
   */
  async run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Run> {
    this.#signal.throwIfAborted();
    const child = spawn(this.#helper, [this.#report, ...command], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const kill = (): boolean => child.kill('SIGKILL');
    this.#signal.addEventListener('abort', kill);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [status] = (await once(child, 'close')) as [number | null];
    this.#signal.removeEventListener('abort', kill);
    this.#signal.throwIfAborted();
    if (status !== 0)
      throw new Error(`${command.join(' ')} ended with status ${status}: ${stderr.trim() || stdout.trim()}`);
    return { sample: parseReport(readFileSync(this.#report, 'latin1')), stdout };
  }
}

function parseReport(line: string): Sample {
  const [wall, user, system, peak] = line.trim().split(' ').map(Number) as [number, number, number, number];
  return { wall: wall / 1e9, cpu: (user + system) / 1e6, peak: peak * 1024 };
}
