import { DigestMismatchError, FormatError, NotFoundError } from '../errors.js';

/**
 * Adds to what is wrong with a file or object of ostree where it is: those that read it do not know.
 * @param entry its path, in the commit or in the repository of ostree, or its URL
 * @returns the same error when it is about something else, or says where already
 */
export function inPlace(error: unknown, entry: string): unknown {
  const isOne = error instanceof FormatError || error instanceof DigestMismatchError || isMissing(error);
  if (!isOne || error.place.entry !== undefined) return error;
  const { reason } = error;
  const options = { cause: error.cause, place: { ...error.place, entry } };
  if (isMissing(error)) return new NotFoundError(reason, options);
  if (error instanceof FormatError) return new FormatError(error.code, reason, options);
  const what = reason.slice(0, reason.lastIndexOf(': expected'));
  return new DigestMismatchError(what, error.expected, error.actual, options);
}

/** And not one that means more to whoever catches it. */
function isMissing(error: unknown): error is NotFoundError {
  return error instanceof NotFoundError && error.constructor === NotFoundError;
}
