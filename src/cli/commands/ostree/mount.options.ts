import { mountOptions } from '../../option-values.js';
import type { CommandDefinition } from '../../session.js';

export const ostreeMount: CommandDefinition = {
  name: 'mount',
  define: (command) =>
    mountOptions(command)
      .description('Mount the file tree of a commit')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .argument('<mountpoint>', 'Directory to mount it on')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree mount fedora/43/x86_64/silverblue /mnt'),
};
