import { folder, folderOptions } from './folder.options.js';
import type { CommandDefinition } from '../session.js';

export const computeId: CommandDefinition = {
  name: 'compute-id',
  define: (command) =>
    folderOptions(command)
      .description('Print the id an image of a folder would have, without storing anything')
      .addArgument(folder())
      .addHelpText('after', '\nExample:\n  $ cfsbridge --no-repo --hash sha256 compute-id /srv/rootfs'),
};
