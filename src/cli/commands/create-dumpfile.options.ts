import { folder, folderOptions } from './folder.options.js';
import type { CommandDefinition } from '../session.js';

export const createDumpfile: CommandDefinition = {
  name: 'create-dumpfile',
  define: (command) =>
    folderOptions(command)
      .description('Print a folder as a dumpfile, without storing anything')
      .addArgument(folder())
      .addHelpText('after', '\nExample:\n  $ cfsbridge --no-repo create-dumpfile /srv/rootfs > rootfs.dump'),
};
