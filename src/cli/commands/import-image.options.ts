import type { CommandDefinition } from '../session.js';

export const importImage: CommandDefinition = {
  name: 'import-image',
  define: (command) =>
    command
      .description('Store the image on standard input under a name, without checking it')
      .argument('<reference>', 'Name for the image')
      .addHelpText('after', '\nExample:\n  $ cfsbridge import-image web < rootfs.erofs'),
};
