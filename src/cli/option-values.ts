import { type Command, InvalidArgumentError, Option } from 'commander';
import { parsePlatform } from '../spec/platform.js';
import { LOCAL_FETCH, type LocalFetch } from '../repository/local-fetch.js';

/** `--erofs-version`, which belongs to every command that may write an image, and to `init`. */
export function erofsVersion(description: string): Option {
  // A parser of its own replaces the one `choices` would set, so the list is checked here too.
  return new Option('--erofs-version <version>', description).choices(['0', '1', '2']).argParser((value) => {
    if (!/^[012]$/.test(value)) throw new InvalidArgumentError('Allowed choices are 0, 1, 2.');
    return Number(value);
  });
}

/** Parses a path; an empty one is a variable that was never set. */
export function path(value: string): string {
  if (value === '') throw new InvalidArgumentError('Expected a path.');
  return value;
}

/**
 * Parses a digest argument: `sha256:…`, or one of an algorithm that no content here has, so that it is not found
 * instead of being wrong usage. Source of the format: the image specification of OCI, "Digests".
 */
export function digest(value: string): string {
  if (!isDigestText(value)) throw new InvalidArgumentError('Expected sha256: and 64 lower-case hex digits.');
  return value;
}

/** Parses an argument that is a tag, or `@` and a digest. */
export function imageReference(value: string): string {
  if (value.startsWith('@') && !isDigestText(value.slice(1)))
    throw new InvalidArgumentError('Expected a digest after @, like @sha256: and 64 lower-case hex digits.');
  return value;
}

const DIGEST_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

function isDigestText(value: string): boolean {
  const [, algorithm, encoded] = /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(value) ?? [];
  if (algorithm === undefined || encoded === undefined) return false;
  const length = DIGEST_LENGTH[algorithm];
  return length === undefined || (encoded.length === length && /^[0-9a-f]+$/.test(encoded));
}

/** `--platform`: which image of an index or manifest list. */
export function platform(): Option {
  return new Option(
    '--platform <os/arch>',
    'Which image of several to take, as OS/ARCH or OS/ARCH/VARIANT; default: the one for this machine',
  ).argParser((value) => {
    const parsed = parsePlatform(value);
    if (parsed === undefined) throw new InvalidArgumentError('Expected OS/ARCH or OS/ARCH/VARIANT, like linux/arm64.');
    return parsed;
  });
}

/** `--proxy-command`: a program and its first arguments. */
export function words(value: string): readonly string[] {
  const found = value.split(' ').filter((word) => word !== '');
  if (found.length === 0) throw new InvalidArgumentError('Expected a program, and arguments after spaces.');
  return found;
}

/** Parses a number of things, one at least. */
export function positiveCount(value: string): number {
  if (!/^[1-9]\d{0,2}$/.test(value)) throw new InvalidArgumentError('Expected a number from 1 to 999.');
  return Number(value);
}

/** Parses a number that may be zero. */
export function wholeNumber(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(value);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Parses an amount of bytes, also with a unit: `500M`. */
export function byteCount(value: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})([KMGT]?)$/.exec(value) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('Expected a number of bytes, like 1000000, 500M or 2G.');
  return Number(digits) * (UNITS[unit] as number);
}

/** Adds the options that all mounting commands share. */
export function mountOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--fuse <mode>', 'Whether to mount through FUSE; both choices mount through the kernel')
        .choices(['auto', 'no'])
        .default('auto'),
    )
    .addOption(new Option('--foreground', 'For FUSE mounts; changes nothing here').hideHelp())
    .option('--upperdir <dir>', 'Directory that lies over the image')
    .option('--workdir <dir>', 'Empty directory on the same file system as --upperdir, for the kernel')
    .option('--read-write', 'Allow writing, into --upperdir')
    .option(
      '--idmap <file>',
      'Show the files with the owners that this user namespace maps theirs to, like /proc/PID/ns/user',
    );
}

/** Other words that cfsctl takes for the same. */
const LOCAL_FETCH_ALIASES: Readonly<Record<string, LocalFetch>> = { 'if-possible': 'auto', 'zero-copy': 'zerocopy' };

/** `--local-fetch`: how files of a local store get into the repository. */
export function localFetch(): Option {
  const words = [...LOCAL_FETCH];
  return new Option(
    '--local-fetch <way>',
    'Reflink, else hardlink, else copy (auto); reflink, else copy (reflink); never copy (zerocopy); always copy ' +
      '(disabled)',
  )
    .choices(words)
    .default('auto')
    .argParser((value) => {
      const word = LOCAL_FETCH_ALIASES[value] ?? value;
      if (!words.includes(word as LocalFetch))
        throw new InvalidArgumentError(`Allowed choices are ${words.join(', ')}.`);
      return word;
    });
}

/** Words as a list in a sentence. */
export function oneOf(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
