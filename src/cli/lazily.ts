import type { Command } from 'commander';
import type { CommandModule, Session } from './session.js';

/**
 * Makes a commander action of a command's module, which is imported when the command runs.
 * @param load imports the module; its argument and option types are those the grammar was declared with
 */
export function lazily<Arguments extends readonly unknown[], Options>(
  session: Session,
  load: () => Promise<CommandModule<Arguments, Options>>,
): (...all: unknown[]) => Promise<void> {
  // commander calls with the positional arguments, then the options, then the command itself.
  return async (...all) => {
    const command = all.at(-1) as Command;
    const { run } = await load();
    const args = all.slice(0, -2) as readonly unknown[] as Arguments;
    await run(session, args, command.optsWithGlobals() as Options, command);
  };
}
