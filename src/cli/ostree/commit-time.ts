import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../errors.js';

/** The option that says when a commit was made. */
export function timestampOption(): Option {
  return new Option(
    '--timestamp <seconds>',
    'When it was made, in seconds since 1970; default: SOURCE_DATE_EPOCH of the environment, else now',
  ).argParser((value) => {
    if (!/^\d{1,18}$/.test(value)) throw new InvalidArgumentError('Expected seconds since 1970.');
    return BigInt(value);
  });
}

/**
 * When a commit was made, in seconds since 1970, if the environment says so.
 * Source: reproducible-builds.org/specs/source-date-epoch.
 * @throws UsageError
 */
export function epochOfSource(): bigint | undefined {
  const value = process.env['SOURCE_DATE_EPOCH'];
  if (value === undefined || value === '') return undefined;
  if (!/^\d{1,18}$/.test(value))
    throw new UsageError(`SOURCE_DATE_EPOCH is "${value.slice(0, 40)}", expected seconds since 1970`);
  return BigInt(value);
}
