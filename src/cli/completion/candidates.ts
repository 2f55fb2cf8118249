import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import type { Command, Option } from 'commander';
import { defaultRepositoryPath } from '../../repository/default-path.js';
import { ARGUMENTS, ELSEWHERE } from './arguments.js';
import { visibleCommands, type Word } from './grammar.js';
import { namesIn, needsNoQuotes } from './names.js';
import { beginnings, isReferenceKind, type ReferenceKind } from './references.js';
import { optionsOf, readWords, splitOption, type Typed } from './words.js';

const HELP: Word = { name: '--help', description: 'Print help' };

/** Options of which the value is not a path, and has no choices. */
const NO_PATH = new Set([
  '--expected-digest',
  '--name',
  '--entry-id',
  '--cmdline',
  '--image',
  '--algorithm',
  '--reference',
  '--subject',
  '--timestamp',
  '--base-name',
  '--filter',
]);

/**
 * What may stand in place of the word that is being typed, which all of them begin with.
 * @param words those before it, without the program's name
 */
export function candidates(program: Command, words: readonly string[], current: string): Word[] {
  const typed = readWords(program, words);
  return offered(typed, current).filter(({ name }) => name.startsWith(current));
}

function offered(typed: Typed, current: string): Word[] {
  if (typed.awaiting !== undefined) return valuesOf(typed.awaiting, current);
  const [name, value] = splitOption(current);
  if (value !== undefined && !typed.onlyArguments) {
    const option = optionsOf(typed.command).find(({ long }) => long === name);
    return option === undefined
      ? []
      : valuesOf(option, value).map((word) => ({ ...word, name: `${name}=${word.name}` }));
  }
  const options =
    typed.onlyArguments || !/^(?:-.*)?$/.test(current)
      ? []
      : [
          ...optionsOf(typed.command)
            .filter(({ hidden }) => !hidden)
            .map(describe),
          HELP,
        ];
  if (current.startsWith('-')) return options;
  const commands =
    typed.given > 0
      ? []
      : visibleCommands(typed.command).map((child) => ({ name: child.name(), description: child.description() }));
  return [...commands, ...argumentsFor(typed, current), ...options];
}

function describe({ long, flags, description }: Option): Word {
  return { name: long ?? flags, description };
}

function valuesOf({ argChoices, long }: Option, current: string): Word[] {
  if (argChoices !== undefined) return argChoices.map(plain);
  return NO_PATH.has(long ?? '') ? [] : paths(current, false);
}

function argumentsFor(typed: Typed, current: string): Word[] {
  const command = typed.path.join(' ');
  const choices = typed.command.registeredArguments[typed.given]?.argChoices;
  if (choices !== undefined) return choices.map(plain);
  const kind = ARGUMENTS[command]?.[typed.given];
  if (kind === undefined) return [];
  if (kind === 'folder') return paths(current, true);
  if (isReferenceKind(kind)) return references(kind, current);
  const repository = repositoryOf(typed, ELSEWHERE[command]);
  return repository === undefined ? [] : namesIn(repository, kind, current).map(plain);
}

/** Where nothing is typed yet a shell offers what it always does. */
function references(kind: ReferenceKind, current: string): Word[] {
  if (current === '') return [];
  const begun = beginnings(kind).find(({ name, path }) => path && current.startsWith(name));
  if (begun === undefined) return beginnings(kind).map(({ name }) => plain(name));
  const { name } = begun;
  return paths(current.slice(name.length), false).map((word) => ({ ...word, name: `${name}${word.name}` }));
}

/** The words have not been through the shell, which would have put the home folder in. */
function repositoryOf({ values, flags }: Typed, option: string | undefined): string | undefined {
  const path = values.get(option ?? '--repo');
  if (path === undefined && option !== undefined) return undefined;
  return (
    path?.replace(/^~(?=\/|$)/, homedir()) ??
    defaultRepositoryPath(flags.has('--user') ? 'user' : flags.has('--system') ? 'system' : undefined)
  );
}

function plain(name: string): Word {
  return { name, description: '' };
}

function paths(current: string, onlyFolders: boolean): Word[] {
  const folder = current.slice(0, current.lastIndexOf('/') + 1);
  return readdirSync(folder.replace(/^~(?=\/)/, homedir()) || '.', { withFileTypes: true })
    .filter(({ name }) => needsNoQuotes(`./${name}`) && (current.startsWith(`${folder}.`) || !name.startsWith('.')))
    .filter((entry) => !onlyFolders || entry.isDirectory())
    .map((entry) => plain(`${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`));
}
