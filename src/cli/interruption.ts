import { constants } from 'node:os';
import { basename } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { loadNative } from '../native.js';

/** Why a command's signal aborted. */
export class Interruption extends Error {
  constructor(
    message: string,
    /** The exit status the command ends with. */
    readonly exitCode: number,
  ) {
    super(message);
    this.name = 'Interruption';
  }
}

/**
 * Why a command's signal aborted when its results cannot be written, because the disk is full, say. The cause is in its
 * message only: what there is to say about a full disk is about that of a repository.
 */
export class OutputFailure extends Error {}

/** Why it aborted when the reader of the results went away. */
class ClosedPipe extends Interruption {
  constructor() {
    // What a shell shows for a program that SIGPIPE ended, as it ends C programs; cfsctl says 1.
    super('the reader closed standard output', basename(process.argv[1] ?? '') === 'cfsctl' ? 1 : 141);
  }
}

/** What a shell shows for a program that such a signal ended. */
const EXIT_CODES = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

const native = loadNative<{ endWhenHeldUp(signal: number): void; signalSeen(): void }>();

/** Waits until standard output took everything. @throws OutputFailure or ClosedPipe when it did not */
export async function outputWritten(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => setImmediate(resolve)));
  if (signal.reason instanceof OutputFailure || signal.reason instanceof ClosedPipe) throw signal.reason;
}

/**
 * Turns Ctrl-C, SIGTERM and a reader that closed standard output into one abort signal, so that commands
 * clean up behind themselves. A second Ctrl-C ends the program at once.
 */
export function watchInterruptions(): AbortSignal {
  const controller = new AbortController();
  for (const [name, exitCode] of EXIT_CODES) {
    process.on(name, () => {
      native.signalSeen();
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort(new Interruption(`interrupted by ${name}`, exitCode));
    });
    // No JavaScript runs while a call does not return.
    native.endWhenHeldUp(constants.signals[name]);
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `cfsbridge … | head` wants no more, and nobody wants to read about it.
    controller.abort(
      error.code === 'EPIPE'
        ? new ClosedPipe()
        : new OutputFailure(`cannot write to standard output: ${reasonOf(error)}`),
    );
  });
  // Talk that nobody can hear is no reason to end the work.
  process.stderr.on('error', () => undefined);
  return controller.signal;
}

/** Without the name of a system call, which differs by the way the bytes went. */
function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  const errno = constants.errno[code as keyof typeof constants.errno];
  return getSystemErrorMap().get(-errno)?.[1] ?? message;
}
