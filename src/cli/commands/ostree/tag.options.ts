import type { CommandDefinition } from '../../session.js';

export const ostreeTag: CommandDefinition = {
  name: 'tag',
  define: (command) =>
    command
      .description('Give a commit another name')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .argument('<name>', 'The new name')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree tag fedora/43/x86_64/silverblue tested'),
};
