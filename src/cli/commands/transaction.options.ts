import type { CommandDefinition } from '../session.js';

export const transaction: CommandDefinition = {
  name: 'transaction',
  define: (command) =>
    command
      .description('Keep the repository open until ended, so that no garbage collection runs')
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge transaction & lock=$!; cfsbridge oci pull containers-storage:web; kill $lock',
      ),
};
