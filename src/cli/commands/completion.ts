import type { Command } from 'commander';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { describeGrammar, type CommandGrammar } from '../completion/grammar.js';
import { zshCompletion } from '../completion/zsh.js';
import type { Session } from '../session.js';

export type Shell = 'bash' | 'zsh' | 'fish';

const generators: Record<Shell, (commands: CommandGrammar[]) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** `completion`: prints a script that completes commands, options and their values. */
export function run(session: Session, [shell]: [Shell], _: object, command: Command): Promise<void> {
  const program = command.parent ?? command;
  return session.out.write(generators[shell](describeGrammar(program)));
}
