import { treeCommand } from './tree.options.js';
import type { CommandDefinition } from '../../session.js';

export const ociComputeId: CommandDefinition = {
  name: 'compute-id',
  define: (command) =>
    treeCommand(command)
      .description('Print the fs-verity digest of the EROFS image of an image')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci compute-id web:stable'),
};
