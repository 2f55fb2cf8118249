import { availableParallelism } from 'node:os';
import { getoptLong, parseCInt, type LongOption } from '../getopt-long.js';

/** What mkcomposefs is asked to do. Paths are as typed; `-` is standard input or output. */
export interface MkcomposefsOptions {
  source: string;
  /** undefined: only print the digest. */
  image: string | undefined;
  fromFile: boolean;
  digestStore: string | undefined;
  printDigest: boolean;
  useEpoch: boolean;
  skipDevices: boolean;
  skipXattrs: boolean;
  userXattrs: boolean;
  hardlinks: boolean;
  /** Any 32-bit number; what is not a format fails when the image is written, as in C. */
  minVersion: number;
  maxVersion: number;
  threads: number;
}

const OPTIONS = [
  { name: 'skip-xattrs', value: false },
  { name: 'user-xattrs', value: false },
  { name: 'skip-devices', value: false },
  { name: 'use-epoch', value: false },
  { name: 'hardlinks', value: false },
  { name: 'digest-store', value: true },
  { name: 'print-digest', value: false },
  { name: 'print-digest-only', value: false },
  { name: 'from-file', value: false },
  { name: 'max-version', value: true },
  { name: 'min-version', value: true },
  { name: 'threads', value: true },
] as const satisfies readonly LongOption<string>[];

type Given = Map<(typeof OPTIONS)[number]['name'], string>;

/** Arguments that make no sense; `message` is printed as it is. */
export class MkcomposefsUsage extends Error {}

/**
 * Reads mkcomposefs's arguments, by the grammar of composefs 1.0.8, and `--hardlinks` of cfsctl's mkcomposefs.
 * @throws MkcomposefsUsage
 */
export function parseMkcomposefsOptions(args: readonly string[]): MkcomposefsOptions {
  const given: Given = new Map();
  let paths: readonly string[] = [];
  for (const argument of getoptLong(args, OPTIONS)) {
    if ('positional' in argument) paths = argument.positional;
    else if ('problem' in argument)
      throw new MkcomposefsUsage(argument.problem.kind === 'missing-value' ? 'option needs a value\n' : usage());
    else given.set(argument.option, checked(argument.option, argument.value));
  }
  const [source, image, ...more] = paths;
  if (source === undefined) throw withUsage('No source path specified');
  const digestOnly = given.has('print-digest-only');
  if (image === undefined && !digestOnly) throw withUsage('No destination path specified');
  if (image !== undefined && digestOnly) throw withUsage('Cannot specify destination path with --print-digest-only');
  if (more.length > 0) throw withUsage('Too many arguments');
  return { source, image, ...common(given) };
}

function common(given: Given): Omit<MkcomposefsOptions, 'source' | 'image'> {
  // A single version is meant as it is given: the other is then 0, and 0 to 1 only when neither is given.
  const none = !given.has('min-version') && !given.has('max-version');
  return {
    fromFile: given.has('from-file'),
    digestStore: given.get('digest-store'),
    printDigest: given.has('print-digest') || given.has('print-digest-only'),
    useEpoch: given.has('use-epoch'),
    skipDevices: given.has('skip-devices'),
    skipXattrs: given.has('skip-xattrs'),
    userXattrs: given.has('user-xattrs'),
    hardlinks: given.has('hardlinks'),
    minVersion: number(given, 'min-version', 0),
    maxVersion: number(given, 'max-version', none ? 1 : 0),
    threads: number(given, 'threads', availableParallelism()),
  };
}

function number(given: Given, name: 'min-version' | 'max-version' | 'threads', otherwise: number): number {
  const text = given.get(name);
  return text === undefined ? otherwise : (parseCInt(text) ?? otherwise);
}

/** C stops at the first bad number, whatever else is wrong behind it. */
function checked(name: string, value: string): string {
  const what = NUMBERS[name];
  if (what === undefined) return value;
  const parsed = parseCInt(value);
  if (parsed === undefined || (name === 'threads' && parsed <= 0))
    throw new MkcomposefsUsage(`Invalid ${what} ${value}\n`);
  return value;
}

const NUMBERS: Readonly<Record<string, string>> = {
  'min-version': 'min version',
  'max-version': 'max version',
  threads: 'threads count',
};

function withUsage(message: string): MkcomposefsUsage {
  return new MkcomposefsUsage(`${message}\n${usage()}`);
}

function usage(): string {
  return `Usage: mkcomposefs [OPTIONS] SOURCE IMAGE
Options:
  --digest-store=PATH   Put the content of files into this directory
  --use-epoch           Set all mtimes to 0
  --skip-devices        Leave out character and block devices
  --skip-xattrs         Leave out all xattrs
  --user-xattrs         Leave out xattrs that are not user.*
  --hardlinks           Let names of one inode share an inode in the image, too
  --print-digest        Print the fs-verity digest of the image
  --print-digest-only   Print the digest and write no image
  --from-file           SOURCE is a dumpfile; - reads standard input
  --min-version=N       Oldest format version to use (default=0)
  --max-version=N       Newest format version to use (default=1)
  --threads=N           Threads that read and hash files (default=${availableParallelism()})
`;
}
