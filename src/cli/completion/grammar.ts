import type { Command, Option } from 'commander';
import { ARGUMENTS } from './arguments.js';

export interface Word {
  name: string;
  description: string;
}

export interface OptionGrammar extends Word {
  takesValue: boolean;
  /** The values it accepts; empty when any will do. */
  choices: readonly string[];
}

/** What may follow one command, as completion scripts need it. */
export interface CommandGrammar {
  /** `cfsbridge`, `cfsbridge oci`, `cfsbridge oci images`, … */
  path: string;
  subcommands: Word[];
  /** The command's own options and the global ones. */
  options: OptionGrammar[];
  /** Fixed values of its first argument, such as the shells of `completion`. */
  values: readonly string[];
  /** Whether one of its arguments is a name that the program knows, such as one in a repository. */
  named: boolean;
}

/** Those that help lists, without the help command that commander adds there. */
export function visibleCommands(command: Command): readonly Command[] {
  const listed = command.createHelp().visibleCommands(command);
  return command.commands.filter((child) => listed.includes(child));
}

/** Lists a program's commands, parents before children. */
export function describeGrammar(program: Command): CommandGrammar[] {
  const help = { name: '--help', description: 'Print help', takesValue: false, choices: [] };
  const visit = (command: Command, path: string, inherited: OptionGrammar[]): CommandGrammar[] => {
    const own = command.options.filter((option) => !option.hidden).map(describeOption);
    const options = [...own, ...inherited.filter((option) => !own.some(({ name }) => name === option.name))];
    const self = {
      path,
      subcommands: visibleCommands(command).map((child) => ({ name: child.name(), description: child.description() })),
      options,
      values: command.registeredArguments[0]?.argChoices ?? [],
      named: (ARGUMENTS[path.slice(path.indexOf(' ') + 1)] ?? []).some((kind) => kind !== 'folder'),
    };
    return [self, ...visibleCommands(command).flatMap((child) => visit(child, `${path} ${child.name()}`, options))];
  };
  return visit(program, program.name(), [help]);
}

/** The options of all commands whose values are a fixed list, each once. */
export function optionsWithChoices(commands: readonly CommandGrammar[]): OptionGrammar[] {
  const all = commands.flatMap(({ options }) => options).filter(({ choices }) => choices.length > 0);
  return [...new Map(all.map((option) => [option.name, option])).values()];
}

/** The options of all commands that take some value not in a list: most are paths. */
export function optionsWithFreeValue(commands: readonly CommandGrammar[]): string[] {
  const all = commands
    .flatMap(({ options }) => options)
    .filter(({ takesValue, choices }) => takesValue && choices.length === 0);
  return [...new Set(all.map(({ name }) => name))];
}

function describeOption(option: Option): OptionGrammar {
  return {
    name: option.long ?? option.flags,
    description: option.description,
    takesValue: option.required,
    choices: option.argChoices ?? [],
  };
}
