/** Arguments that do not fit together; ends the program with the status of a wrong usage. */
export class UsageError extends Error {}

/**
 * Renders an error and what caused it the way cfsctl does: `Error: …`, then `Caused by:` with one line per
 * cause, numbered when there are several.
 */
export function describeError(thrown: unknown): string {
  const error = firstFailure(thrown);
  const causes: string[] = [];
  const seen = new Set([error]);
  for (let cause = causeOf(error); cause !== undefined && !seen.has(cause); cause = causeOf(cause)) {
    seen.add(cause);
    causes.push(messageOf(cause));
  }
  const lines = causes.map((text, i) => `    ${causes.length > 1 ? `${i}: ` : ''}${text}`);
  return [`Error: ${messageOf(error)}`, ...(lines.length > 0 ? ['', 'Caused by:', ...lines] : [])].join('\n');
}

/** When cleaning up fails too, the language wraps both errors; the first one is what happened. */
function firstFailure(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error) error = error.suppressed;
  return error;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
