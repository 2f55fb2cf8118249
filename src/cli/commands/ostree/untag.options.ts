import type { CommandDefinition } from '../../session.js';

export const ostreeUntag: CommandDefinition = {
  name: 'untag',
  define: (command) =>
    command
      .description('Take a name away from a commit, which goes with the next gc when it has no other')
      .argument('<name>', 'The name')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree untag tested'),
};
