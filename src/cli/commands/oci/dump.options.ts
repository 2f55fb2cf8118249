import { treeCommand } from './tree.options.js';
import type { CommandDefinition } from '../../session.js';

export const ociDump: CommandDefinition = {
  name: 'dump',
  define: (command) =>
    treeCommand(command)
      .description('Print the file tree of an image as a composefs-dump(5) file')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci dump web:stable | mkcomposefs --from-file - web.erofs'),
};
