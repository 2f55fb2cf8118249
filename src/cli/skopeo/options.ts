// skopeo's command line, as far as its image proxy goes: the global options, which may stand on either side of the
// command, and those of the command.
import { CommandFailure } from '../command-failure.js';

/** What follows an option's name. */
type Kind = 'text' | 'flag' | 'number' | 'many';

const GLOBAL = {
  'command-timeout': 'text',
  debug: 'flag',
  help: 'flag',
  'insecure-policy': 'flag',
  'override-arch': 'text',
  'override-os': 'text',
  'override-variant': 'text',
  policy: 'text',
  'registries-conf': 'text',
  'registries.d': 'text',
  'require-signed': 'flag',
  'tls-details': 'text',
  tmpdir: 'text',
  'user-agent-prefix': 'text',
  version: 'flag',
} as const satisfies Record<string, Kind>;

const OF_PROXY = {
  authfile: 'text',
  'cert-dir': 'text',
  creds: 'text',
  'daemon-host': 'text',
  'decryption-key': 'many',
  'idle-limit': 'number',
  'no-creds': 'flag',
  password: 'text',
  'registry-token': 'text',
  'shared-blob-dir': 'text',
  sockfd: 'number',
  'tls-verify': 'flag',
  username: 'text',
} as const satisfies Record<string, Kind>;

type Values<Options> = {
  -readonly [Name in keyof Options]?: Options[Name] extends 'flag'
    ? boolean
    : Options[Name] extends 'number'
      ? number
      : Options[Name] extends 'many'
        ? string[]
        : string;
};

export type SkopeoOptions = Values<typeof GLOBAL> & Values<typeof OF_PROXY>;

export interface SkopeoCommandLine {
  /** undefined: none was named */
  command: string | undefined;
  options: SkopeoOptions;
}

/** The commands that are the image proxy. */
const PROXY = 'experimental-image-proxy';

export function isProxyCommand(word: string | undefined): boolean {
  return word === PROXY;
}

/**
 * Finds skopeo's command, behind its global options.
 * @returns undefined where there is none, or where what stands before it is none of skopeo's options
 */
export function commandAmong(args: readonly string[]): string | undefined {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (!word.startsWith('-')) return word;
    const [name, value] = nameOf(word);
    const kind: Kind | undefined = Object.hasOwn(GLOBAL, name) ? GLOBAL[name as keyof typeof GLOBAL] : undefined;
    if (kind === undefined) return undefined;
    if (kind !== 'flag' && value === undefined) at++;
  }
  return undefined;
}

/**
 * Reads a command line as skopeo does: values behind `=` or as the next word, of flags only behind `=`.
 * @throws CommandFailure
 */
export function parseSkopeoOptions(args: readonly string[]): SkopeoCommandLine {
  const options: Record<string, unknown> = {};
  let command: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (!word.startsWith('-') || word === '-') {
      if (command !== undefined)
        throw new CommandFailure(`accepts 0 arg(s), received ${args.length - at}: ${JSON.stringify(word)}`);
      command = word;
      continue;
    }
    const [name, joined] = nameOf(word);
    const known: Readonly<Record<string, Kind>> = command === undefined ? GLOBAL : { ...GLOBAL, ...OF_PROXY };
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) throw new CommandFailure(`unknown flag: ${word.split('=', 1)[0]}`);
    if (kind === 'flag') {
      options[name] = joined === undefined || flagOf(word, joined);
      continue;
    }
    const value = joined ?? args[++at];
    if (value === undefined) throw new CommandFailure(`flag needs an argument: ${word}`);
    if (kind === 'many') options[name] = [...((options[name] as string[] | undefined) ?? []), value];
    else options[name] = kind === 'number' ? numberOf(word, value) : value;
  }
  return { command, options: options as SkopeoOptions };
}

function nameOf(word: string): [name: string, value: string | undefined] {
  const short = { '-h': 'help', '-v': 'version' }[word];
  if (short !== undefined) return [short, undefined];
  const equals = word.indexOf('=');
  const name = word.slice(0, equals < 0 ? undefined : equals);
  return [name.startsWith('--') ? name.slice(2) : '', equals < 0 ? undefined : word.slice(equals + 1)];
}

function flagOf(word: string, value: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw new CommandFailure(`invalid argument ${JSON.stringify(value)} for ${JSON.stringify(word.split('=', 1)[0])}`);
}

function numberOf(word: string, value: string): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : undefined;
  if (number === undefined)
    throw new CommandFailure(`invalid argument ${JSON.stringify(value)} for ${JSON.stringify(word.split('=', 1)[0])}`);
  return number;
}
