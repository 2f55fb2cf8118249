import { InvalidArgumentError, Option } from 'commander';

/** `--erofs-version`, which belongs to every command that may write an image, and to `init`. */
export function erofsVersion(description: string): Option {
  // A parser of its own replaces the one `choices` would set, so the list is checked here too.
  return new Option('--erofs-version <version>', description).choices(['0', '1', '2']).argParser((value) => {
    if (!/^[012]$/.test(value)) throw new InvalidArgumentError('Allowed choices are 0, 1, 2.');
    return Number(value);
  });
}

/** Parses a `sha256:…` digest argument. */
export function sha256Digest(value: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(value)) throw new InvalidArgumentError('Expected sha256: and 64 lower-case hex digits.');
  return value;
}
