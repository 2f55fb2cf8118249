import type { ErrorCode, FormatErrorCode, SystemErrorCode } from './error-codes.js';

/** Where in a layer something went wrong. */
export interface Place {
  /** diff_id or layer id */
  layer?: string;
  /** path of the entry, printable */
  entry?: string;
  /** what of the entry */
  field?: string;
  /** byte offset in the tar, the stream or the file that is read */
  offset?: number;
}

/**
 * Base of all errors this package throws on purpose. `code` is stable and meant for programs; docs/errors.md has all of
 * them. The message says what is wrong, where, and what to do.
 */
export class BridgeError extends Error {
  readonly code: ErrorCode;
  readonly place: Place;
  /** The message without the place. */
  readonly reason: string;

  constructor(code: ErrorCode, message: string, options: ErrorOptions & { place?: Place } = {}) {
    super(message + describePlace(options.place ?? {}), options);
    this.name = new.target.name;
    this.code = code;
    this.place = options.place ?? {};
    this.reason = message;
  }
}

/** Input that breaks its format: a wire message, a stream, a tar header, a JSON file, an image. */
export class FormatError extends BridgeError {
  declare readonly code: FormatErrorCode;

  constructor(code: FormatErrorCode, message: string, options: ErrorOptions & { place?: Place } = {}) {
    super(code, message, options);
  }
}

/** Content whose digest is not the one it was announced with. */
export class DigestMismatchError extends BridgeError {
  declare readonly code: 'DIGEST_MISMATCH';

  constructor(
    what: string,
    readonly expected: string,
    readonly actual: string,
    options: ErrorOptions & { place?: Place } = {},
  ) {
    super('DIGEST_MISMATCH', `${what}: expected ${expected}, got ${actual}`, options);
  }
}

/** Something asked for by name that is not there. */
export class NotFoundError extends BridgeError {
  declare readonly code: 'NOT_FOUND';

  constructor(message: string, options: ErrorOptions & { place?: Place } = {}) {
    super('NOT_FOUND', message, options);
  }
}

/** An image that is not in a store, layout or repository, which itself is there. */
export class NoImageError extends NotFoundError {}

/** A folder that is not a repository, or that is not there. */
export class NoRepositoryError extends NotFoundError {
  constructor(
    readonly path: string,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** The name of the errno that a system call ended with; `undefined` for any other error. */
export function systemCode(error: unknown): SystemErrorCode | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  const code = String(error.code);
  return /^E[A-Z0-9]+$/.test(code) ? (code as SystemErrorCode) : 'EUNKNOWN';
}

function describePlace(place: Place): string {
  const parts: string[] = [];
  if (place.layer !== undefined) parts.push(`layer ${place.layer}`);
  if (place.entry !== undefined) parts.push(`entry "${place.entry}"`);
  if (place.field !== undefined) parts.push(`field ${place.field}`);
  if (place.offset !== undefined) parts.push(`offset ${place.offset}`);
  return parts.length > 0 ? ` (${parts.join(', ')})` : '';
}
