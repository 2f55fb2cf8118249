import './memory.js';
import { CommanderError } from 'commander';
import { passedSockets } from '../service/passed-sockets.js';
import { argumentProblem } from './arguments.js';
import { describeError, UsageError } from './errors.js';
import { Interruption, OutputFailure, outputWritten, watchInterruptions } from './interruption.js';
import { Output } from './output.js';
import { createProgram, helpHint } from './program.js';
import { talk } from './talk.js';

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
      talk(`error: ${error.message}\n${helpHint}\n`);
      return USAGE_ERROR;
    }
    if (signal.aborted && signal.reason instanceof Interruption) return signal.reason.exitCode;
    talk(`${describeError(signal.reason instanceof OutputFailure ? signal.reason : error)}\n`);
    return 1;
  }
}

async function runCommand(signal: AbortSignal): Promise<number> {
  const problem = argumentProblem();
  if (problem !== undefined) throw new UsageError(problem);
  try {
    await createProgram({ signal, out: new Output(process.stdout, signal) }).parseAsync(commandLine(), {
      from: 'user',
    });
    return 0;
  } catch (error) {
    // commander has already printed what is wrong, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR;
    throw error;
  }
}

/**
 * Somebody who starts the program with a socket and no arguments wants the varlink service on it, as `varlinkctl call
 * exec:cfsbridge …` does.
 */
function commandLine(): string[] {
  const args = process.argv.slice(2);
  return args.length === 0 && passedSockets(process.env) !== undefined ? ['varlink'] : args;
}
