// The protocol of clap's completions, which cfsctl has: with COMPLETE=SHELL a program prints a script for that shell,
// and the script calls it again with `--` and the words of the command line.
import { basename } from 'node:path';
import { createProgram } from '../program.js';
import type { Session } from '../session.js';
import { candidates } from './candidates.js';
import type { Word } from './grammar.js';
import { REGISTRATIONS } from './registration.js';
import { talk } from '../talk.js';

const USAGE_ERROR = 2;

type Shell = keyof typeof REGISTRATIONS;

/** Which word is typed is said in this variable, except by fish, where it is the last. */
const INDEX = '_CLAP_COMPLETE_INDEX';
const SEPARATOR = '_CLAP_IFS';

/** @returns the exit status */
export function complete(shell: string, [first, ...words]: readonly string[]): number {
  if (!Object.hasOwn(REGISTRATIONS, shell)) {
    talk(
      `error: unknown shell \`${shell}\`, expected one of ${Object.keys(REGISTRATIONS)
        .map((name) => `\`${name}\``)
        .join(', ')}\n`,
    );
    return USAGE_ERROR;
  }
  if (first !== '--')
    process.stdout.write(REGISTRATIONS[shell as Shell](basename(process.argv[1] ?? ''), process.argv[1] ?? ''));
  else process.stdout.write(answer(shell as Shell, words));
  return 0;
}

/** Nothing at all where something is wrong: whoever types wants to type on. */
function answer(shell: Shell, words: readonly string[]): string {
  try {
    const index = shell === 'fish' ? words.length - 1 : Number(process.env[INDEX] ?? words.length - 1);
    const found = candidates(createProgram({} as Session), words.slice(1, index), words[index] ?? '');
    return found.map((word) => line(shell, word)).join(process.env[SEPARATOR] ?? '\n');
  } catch {
    return '';
  }
}

function line(shell: Shell, { name, description }: Word): string {
  const [help = ''] = description.split('\n');
  if (shell === 'bash') return name;
  if (shell === 'fish') return help === '' ? name : `${name}\t${help}`;
  const escaped = name.replace(/[:\\]/g, '\\$&');
  return help === '' ? escaped : `${escaped}:${help}`;
}
