import './memory.js';
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { describeError, UsageError } from './errors.js';
import { Interruption, OutputFailure, outputWritten, watchInterruptions } from './interruption.js';
import { Output } from './output.js';
import { createProgram, helpHint } from './program.js';

const USAGE_ERROR = 2;

/** Runs the command line and returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted. */
export async function main(): Promise<number> {
  const signal = watchInterruptions();
  try {
    const status = await runCommand(signal);
    await outputWritten(signal);
    return status;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`error: ${error.message}\n${helpHint}\n`);
      return USAGE_ERROR;
    }
    if (signal.aborted && signal.reason instanceof Interruption) return signal.reason.exitCode;
    process.stderr.write(`${describeError(signal.reason instanceof OutputFailure ? signal.reason : error)}\n`);
    return 1;
  }
}

async function runCommand(signal: AbortSignal): Promise<number> {
  checkArguments();
  try {
    await createProgram({ signal, out: new Output(process.stdout, signal) }).parseAsync();
    return 0;
  } catch (error) {
    // commander has already printed what is wrong, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR;
    throw error;
  }
}

/** Node puts U+FFFD where bytes are no UTF-8, which would be another name than the one that was meant. */
function checkArguments(): void {
  if (!process.argv.some((word) => word.includes('\ufffd')) || isUtf8(readFileSync('/proc/self/cmdline'))) return;
  throw new UsageError('invalid UTF-8 was detected in one or more arguments');
}
