import type { Command, Option } from 'commander';

/** A command line that is being typed, as far as the word before the cursor. */
export interface Typed {
  command: Command;
  /** the words that lead to it */
  path: string[];
  /** how many of its arguments are there */
  given: number;
  /** values of options, by their long names, wherever they stand */
  values: Map<string, string>;
  /** options without a value */
  flags: Set<string>;
  /** the option whose value comes next */
  awaiting: Option | undefined;
  /** what follows is not an option, as after `--` */
  onlyArguments: boolean;
}

/**
 * Reads the words between the program's name and the one that is being typed. Nothing is refused: what makes no sense
 * yet may still.
 */
export function readWords(program: Command, words: readonly string[]): Typed {
  const typed: Typed = {
    command: program,
    path: [],
    given: 0,
    values: new Map(),
    flags: new Set(),
    awaiting: undefined,
    onlyArguments: false,
  };
  for (const word of words) {
    if (typed.awaiting !== undefined) {
      typed.values.set(typed.awaiting.long ?? '', word);
      typed.awaiting = undefined;
    } else if (typed.onlyArguments) typed.given++;
    else if (word === '--') typed.onlyArguments = true;
    else if (word.startsWith('-') && word !== '-') readOption(typed, word);
    else readArgument(typed, word);
  }
  return typed;
}

function readOption(typed: Typed, word: string): void {
  const [name, value] = splitOption(word);
  const option = optionsOf(typed.command).find(({ long, short }) => name === long || name === short);
  if (option === undefined) return;
  if (!option.required) typed.flags.add(option.long ?? '');
  else if (value === undefined) typed.awaiting = option;
  else typed.values.set(option.long ?? '', value);
}

function readArgument(typed: Typed, word: string): void {
  const child =
    typed.given > 0
      ? undefined
      : typed.command.commands.find((command) => command.name() === word || command.aliases().includes(word));
  if (child === undefined) typed.given++;
  else {
    typed.command = child;
    typed.path.push(child.name());
  }
}

/** `--repo=x` is `--repo` and `x`. */
export function splitOption(word: string): [name: string, value: string | undefined] {
  const at = word.startsWith('--') ? word.indexOf('=') : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** The options that may stand after a command: its own and those of the commands above it. */
export function optionsOf(command: Command): Option[] {
  const all: Option[] = [];
  for (let at: Command['parent'] = command; at; at = at.parent)
    all.push(...at.options.filter((option) => !all.some(({ long }) => long === option.long)));
  return all;
}
