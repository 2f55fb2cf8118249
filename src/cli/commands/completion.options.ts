import { Argument } from 'commander';
import type { CommandDefinition } from '../session.js';

export const completion: CommandDefinition = {
  name: 'completion',
  define: (command) =>
    command
      .description('Print a completion script for a shell')
      .addArgument(new Argument('<shell>', 'Shell the script is for').choices(['bash', 'zsh', 'fish']))
      .addHelpText('after', '\nExample:\n  $ source <(cfsbridge completion bash)'),
};
