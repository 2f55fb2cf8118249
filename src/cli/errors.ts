import { printableLines } from '../bytes.js';
import type { ErrorCode } from '../error-codes.js';
import { BridgeError } from '../errors.js';
import { inFlags } from './flag-advice.js';

/** Arguments that do not fit together; ends the program with the status of a wrong usage. */
export class UsageError extends Error {}

/** What to do about failures that have nothing to do with what was asked for. */
const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  ENOSPC:
    'the disk is full: make room (in a repository, "cfsbridge gc" removes what nothing needs) and run the ' +
    'command again; what was stored before is whole',
  EDQUOT:
    'the disk quota is used up: make room (in a repository, "cfsbridge gc" removes what nothing needs) and run ' +
    'the command again; what was stored before is whole',
  EROFS: 'the file system is mounted read-only; the kernel does that to a damaged one, too: see dmesg',
  EIO:
    'the device fails or a file is damaged: see dmesg; when it can be read again, "cfsbridge fsck" says what is ' +
    'damaged and "cfsbridge fsck --repair --from SOURCE" restores it',
};

/**
 * Renders an error and what caused it the way cfsctl does: `Error: …`, then `Caused by:` with one line per
 * cause, numbered when there are several. Causes that only repeat what was said are left out.
 */
export function describeError(thrown: unknown): string {
  const chain = causeChain(firstFailure(thrown));
  const said = messageOf(chain[0]);
  const causes = chain.slice(1).flatMap((cause, i) => (repeats(cause, messageOf(chain[i])) ? [] : [messageOf(cause)]));
  const lines = causes.map((text, i) => `    ${causes.length > 1 ? `${i}: ` : ''}${text}`);
  const advice = chain
    .flatMap((error) => (error instanceof Error && 'code' in error ? (ADVICE[error.code as ErrorCode] ?? []) : []))
    .at(0);
  return printableLines(
    [
      `Error: ${said}`,
      ...(lines.length > 0 ? ['', 'Caused by:', ...lines] : []),
      ...(advice === undefined ? [] : ['', advice]),
    ].join('\n'),
  );
}

/** When cleaning up fails too, the language wraps both errors; the first one is what happened. */
function firstFailure(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error) error = error.suppressed;
  return error;
}

function causeChain(error: unknown): unknown[] {
  const chain = new Set([error]);
  for (let cause = causeOf(error); cause !== undefined && !chain.has(cause); cause = causeOf(cause)) chain.add(cause);
  return [...chain];
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function repeats(cause: unknown, said: string): boolean {
  const parts = issuesOf(cause)?.map(({ message }) => message) ?? [
    cause instanceof BridgeError ? cause.reason : messageOf(cause),
  ];
  return parts.every((part) => said.includes(part));
}

function messageOf(error: unknown): string {
  const issues = issuesOf(error);
  if (issues !== undefined)
    return issues.map(({ path, message }) => `${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`).join('; ');
  if (error instanceof BridgeError) return error.message + inFlags(error);
  return error instanceof Error ? error.message || error.name : String(error);
}

/** What zod found wrong, whose own message is JSON. */
function issuesOf(error: unknown): { path: (string | number)[]; message: string }[] | undefined {
  return error instanceof Error && /^\$?ZodError$/.test(error.name) && 'issues' in error
    ? (error.issues as { path: (string | number)[]; message: string }[])
    : undefined;
}
