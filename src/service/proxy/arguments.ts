// What the requests of the image proxy bring, checked with the words that skopeo has for what is wrong.
import { isDigest } from '../../spec/manifest.js';
import { ProxyFault } from './proxy-fault.js';

/** @throws ProxyFault */
export function noArguments(args: readonly unknown[]): void {
  if (args.length !== 0) throw new ProxyFault('invalid request, expecting zero arguments');
}

/** @param expected what to say is expected instead of another number of them */
export function argumentCount(args: readonly unknown[], count: number, expected?: string): void {
  if (args.length === count) return;
  throw new ProxyFault(
    expected === undefined
      ? 'invalid request, expecting one argument'
      : `found ${args.length} args, expecting (${expected})`,
  );
}

/** Where an image is. */
export function textArgument(value: unknown): string {
  if (typeof value !== 'string') throw new ProxyFault(`expecting string imageref, not ${goType(value)}`);
  return value;
}

/**
 * A whole number that is not negative. Skopeo cuts fractions off, and takes negative numbers for very large ones: what
 * is meant by either cannot be what is done then.
 */
export function numberArgument(value: unknown): number {
  if (typeof value !== 'number') throw new ProxyFault(`expecting numeric, not ${goType(value)}`);
  if (value > Number.MAX_SAFE_INTEGER) throw new ProxyFault(`out of range integer for numeric ${goFloat(value)}`);
  if (!Number.isInteger(value) || value < 0)
    throw new ProxyFault(`expecting a whole number that is not negative, not ${value}`);
  return value;
}

export function digestArgument(value: unknown): string {
  if (typeof value !== 'string') throw new ProxyFault('expecting string blobid');
  if (isDigest(value)) return value;
  const [, algorithm, encoded] = /^([A-Za-z0-9]+(?:[+._-][A-Za-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(value) ?? [];
  if (algorithm === undefined || encoded === undefined) throw new ProxyFault('invalid checksum digest format');
  const length = { sha256: 64, sha384: 96, sha512: 128 }[algorithm];
  if (length === undefined) throw new ProxyFault('unsupported digest algorithm');
  throw new ProxyFault(encoded.length === length ? 'invalid checksum digest format' : 'invalid checksum digest length');
}

/** What Go calls the type of a value of JSON. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'object') return value ? 'map[string]interface {}' : '<nil>';
  return { string: 'string', number: 'float64' }[typeof value as string] ?? 'bool';
}

/** A large number as `%f` writes it. */
function goFloat(value: number): string {
  return `${BigInt(value)}.000000`;
}
