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

/** What a shell shows for a program that such a signal ended. */
const EXIT_CODES = [['SIGINT', 130], ['SIGTERM', 143]] as const;

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
    if (error.code !== 'EPIPE') throw error;
    // `cfsbridge … | head` wants no more: that is no failure.
    controller.abort(new Interruption('the reader closed standard output', 0));
  });
  return controller.signal;
}
