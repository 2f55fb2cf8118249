import type { CommandDefinition } from '../../session.js';

export const ostreeComputeId: CommandDefinition = {
  name: 'compute-id',
  define: (command) =>
    command
      .description('Print the fs-verity digest of the EROFS image of a commit, which is made if there is none')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree compute-id fedora/43/x86_64/silverblue'),
};
