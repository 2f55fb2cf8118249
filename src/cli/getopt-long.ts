/** One long option; `value` says whether it takes one. */
export interface LongOption<Name extends string> {
  name: Name;
  value: boolean;
}

/** What is wrong with an argument, as getopt_long(3) tells it apart. */
export type UsageProblem =
  | { kind: 'unknown' | 'ambiguous' | 'unexpected-value' | 'missing-value'; argument: string }
  | { kind: 'unknown-letter'; argument: string };

/** An option as it was given, or the first problem met. Positional arguments come last, together. */
export type ParsedArgument<Name extends string> =
  | { option: Name; value: string }
  | { problem: UsageProblem }
  | { positional: readonly string[] };

/**
 * Reads command-line arguments as getopt_long(3) of the GNU C library does with long options only: options and
 * positional arguments in any order, names cut short as long as they stay unique, values behind `=` or as the next
 * argument, `--` ends the options and `-` is positional.
 */
export function* getoptLong<Name extends string>(
  args: readonly string[],
  options: readonly LongOption<Name>[],
): Generator<ParsedArgument<Name>> {
  const positional: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const argument = args[at]!;
    if (argument === '--') {
      positional.push(...args.slice(at + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      positional.push(argument);
      continue;
    }
    if (!argument.startsWith('--')) {
      yield { problem: { kind: 'unknown-letter', argument: argument.charAt(1) } };
      continue;
    }
    const equals = argument.indexOf('=');
    const given = argument.slice(2, equals < 0 ? undefined : equals);
    const option = findOption(given, options);
    if (typeof option === 'string') {
      yield { problem: { kind: option, argument } };
    } else if (!option.value) {
      yield equals < 0
        ? { option: option.name, value: '' }
        : { problem: { kind: 'unexpected-value', argument: `--${option.name}` } };
    } else if (equals >= 0) {
      yield { option: option.name, value: argument.slice(equals + 1) };
    } else if (at + 1 < args.length) {
      at++;
      yield { option: option.name, value: args[at]! };
    } else {
      yield { problem: { kind: 'missing-value', argument: `--${option.name}` } };
    }
  }
  yield { positional };
}

function findOption<Name extends string>(
  given: string,
  options: readonly LongOption<Name>[],
): LongOption<Name> | 'unknown' | 'ambiguous' {
  const exact = options.find(({ name }) => name === given);
  if (exact !== undefined) return exact;
  const [first, second] = options.filter(({ name }) => name.startsWith(given));
  if (first === undefined) return 'unknown';
  return second === undefined ? first : 'ambiguous';
}

/** Reads a number as strtol(3) does, to the end of the text, then cut to a C `int`; undefined when it is none. */
export function parseCInt(text: string): number | undefined {
  const match = /^[\t-\r ]*([+-]?)([0-9]+)$/.exec(text);
  if (!match) return undefined;
  const magnitude = BigInt(match[2]!);
  const value = match[1] === '-' ? -magnitude : magnitude;
  const limited = value > LONG_MAX ? LONG_MAX : value < -LONG_MAX - 1n ? -LONG_MAX - 1n : value;
  return Number(BigInt.asIntN(32, limited));
}

const LONG_MAX = 2n ** 63n - 1n;
