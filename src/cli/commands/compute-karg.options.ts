import { folder, takenAsItIs } from './folder.options.js';
import type { CommandDefinition } from '../session.js';

export const computeKarg: CommandDefinition = {
  name: 'compute-karg',
  define: (command) =>
    command
      .description('Print the kernel argument that names the bootable image of a folder, without storing anything')
      .addArgument(folder())
      .addOption(takenAsItIs())
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge --no-repo --erofs-version 1 compute-karg /mnt/base > /etc/kernel/cmdline',
      ),
};
