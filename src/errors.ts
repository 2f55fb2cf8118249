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
 * Base of all errors this package throws on purpose. `code` is stable and meant for programs; the message
 * says what is wrong, where, and what to do.
 */
export class BridgeError extends Error {
  readonly code: string;
  readonly place: Place;
  /** The message without the place. */
  readonly reason: string;

  constructor(code: string, message: string, options: ErrorOptions & { place?: Place } = {}) {
    super(message + describePlace(options.place ?? {}), options);
    this.name = new.target.name;
    this.code = code;
    this.place = options.place ?? {};
    this.reason = message;
  }
}

/** Input that breaks its format: a wire message, a stream, a tar header, a JSON file, an image. */
export class FormatError extends BridgeError {}

/** Content whose digest is not the one it was announced with. */
export class DigestMismatchError extends BridgeError {
  constructor(what: string, readonly expected: string, readonly actual: string, options: ErrorOptions & { place?: Place } = {}) {
    super('DIGEST_MISMATCH', `${what}: expected ${expected}, got ${actual}`, options);
  }
}

/** Something asked for by name that is not there. */
export class NotFoundError extends BridgeError {
  constructor(message: string, options: ErrorOptions & { place?: Place } = {}) {
    super('NOT_FOUND', message, options);
  }
}

function describePlace(place: Place): string {
  const parts: string[] = [];
  if (place.layer !== undefined) parts.push(`layer ${place.layer}`);
  if (place.entry !== undefined) parts.push(`entry "${place.entry}"`);
  if (place.field !== undefined) parts.push(`field ${place.field}`);
  if (place.offset !== undefined) parts.push(`offset ${place.offset}`);
  return parts.length > 0 ? ` (${parts.join(', ')})` : '';
}
