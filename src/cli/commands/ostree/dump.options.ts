import type { CommandDefinition } from '../../session.js';

export const ostreeDump: CommandDefinition = {
  name: 'dump',
  define: (command) =>
    command
      .description('Print the file tree of a commit as a composefs-dump(5) file')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree dump fedora/43/x86_64/silverblue | grep " /usr/bin/"'),
};
