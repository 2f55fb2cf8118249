import { DigestMismatchError, FormatError } from '../errors.js';

/**
 * Adds to what is wrong with a file of ostree which file it is: those that read it do not know.
 * @param entry its path in the repository, or the URL
 * @returns the same error when it is about something else, or says more exactly where
 */
export function inPlace(error: unknown, entry: string): unknown {
  if (!(error instanceof FormatError || error instanceof DigestMismatchError)) return error;
  if (error.place.entry !== undefined) return error;
  const options = { cause: error, place: { ...error.place, entry } };
  if (error instanceof FormatError) return new FormatError(error.code, error.reason, options);
  const { expected, actual, reason } = error;
  return new DigestMismatchError(reason.slice(0, reason.lastIndexOf(': expected')), expected, actual, options);
}
