import { getoptLong, type LongOption, type UsageProblem } from '../getopt-long.js';

const INFO_COMMANDS = ['ls', 'dump', 'objects', 'missing-objects', 'measure-file'] as const;
type InfoCommand = (typeof INFO_COMMANDS)[number];

export interface InfoOptions {
  command: InfoCommand;
  /** Images, or files to measure; as typed. */
  paths: readonly string[];
  basedir: string | undefined;
  /** Names in the root directory that are shown; empty: all. */
  filter: readonly string[];
}

const OPTIONS = [
  { name: 'basedir', value: true },
  { name: 'filter', value: true },
] as const satisfies readonly LongOption<string>[];

/** Arguments that make no sense; `message` is printed as it is. */
export class InfoUsage extends Error {}

const USAGE = 'usage: composefs-info [--basedir=path] [ls|objects|dump|missing-objects|measure-file] IMAGES...\n';

/**
 * Reads composefs-info's arguments, by the grammar of composefs 1.0.8.
 * @throws InfoUsage
 */
export function parseInfoOptions(args: readonly string[]): InfoOptions {
  let basedir: string | undefined;
  const filter: string[] = [];
  let positional: readonly string[] = [];
  for (const argument of getoptLong(args, OPTIONS)) {
    if ('problem' in argument) throw new InfoUsage(`composefs-info: ${describe(argument.problem)}\n${USAGE}`);
    if ('positional' in argument) positional = argument.positional;
    else if (argument.option === 'basedir') basedir = argument.value;
    else filter.push(checkFilter(argument.value));
  }
  const [word, ...paths] = positional;
  if (word === undefined) throw new InfoUsage(`No command specified\n${USAGE}`);
  const command = INFO_COMMANDS.find((name) => name === word);
  if (command === undefined) throw new InfoUsage(`composefs-info: Unknown command '${word}'\n\n`);
  if (paths.length === 0)
    throw new InfoUsage(`No ${command === 'measure-file' ? 'files' : 'image path'} specified\n${USAGE}`);
  return { command, paths, basedir, filter };
}

function checkFilter(name: string): string {
  if (name.includes('/')) throw new InfoUsage(`composefs-info: Filter must be a single name: ${name}\n`);
  return name;
}

function describe({ kind, argument }: UsageProblem): string {
  switch (kind) {
    case 'unknown':
      return `unrecognized option '${argument}'`;
    case 'ambiguous':
      return `option '${argument}' is ambiguous`;
    case 'unexpected-value':
      return `option '${argument}' doesn't allow an argument`;
    case 'missing-value':
      return `option '${argument}' requires an argument`;
    case 'unknown-letter':
      return `invalid option -- '${argument}'`;
  }
}
