import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface GcCommandOptions extends GlobalOptions {
  root: string[];
  dryRun?: true;
  json?: true;
}

export const gc: CommandDefinition = {
  name: 'gc',
  define: (command) =>
    command
      .description(
        'Remove what no tag, ref, mount or deployment leads to; waits until nobody else is using the repository',
      )
      .option(
        '-r, --root <name>',
        'A stream or image to keep as well; may be repeated',
        (name: string, names: string[]) => [...names, name],
        [],
      )
      .option('-n, --dry-run', 'Only say what would be removed')
      .option('--json', 'Print JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge gc --dry-run'),
};
