import type { CommandDefinition } from '../../session.js';

export const ostreeImages: CommandDefinition = {
  name: 'images',
  define: (command) =>
    command
      .description('List the ostree commits that have a name')
      .option('--json', 'Print JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree images'),
};
