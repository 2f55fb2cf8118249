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

/** Why a command's signal aborted when its results cannot be written, because the disk is full, say. */
export class OutputFailure extends Error {}

/** What a shell shows for a program that such a signal ended. */
const EXIT_CODES = [['SIGINT', 130], ['SIGTERM', 143]] as const;

/** Waits until standard output took everything. @throws OutputFailure when it did not */
export async function outputWritten(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => setImmediate(resolve)));
  if (signal.reason instanceof OutputFailure) throw signal.reason;
}

/**
 * Turns Ctrl-C, SIGTERM and a reader that closed standard output into one abort signal, so that commands
 * clean up behind themselves. A second Ctrl-C ends the program at once.
 */
export function watchInterruptions(): AbortSignal {
  const controller = new AbortController();
  for (const [name, exitCode] of EXIT_CODES)
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort(new Interruption(`interrupted by ${name}`, exitCode));
    });
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `cfsbridge … | head` wants no more: that is no failure.
    controller.abort(error.code === 'EPIPE' ? new Interruption('the reader closed standard output', 0) : new OutputFailure('cannot write to standard output', { cause: error }));
  });
  // Talk that nobody can hear is no reason to end the work.
  process.stderr.on('error', () => undefined);
  return controller.signal;
}
