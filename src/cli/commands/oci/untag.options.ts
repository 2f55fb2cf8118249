import type { CommandDefinition } from '../../session.js';

export const ociUntag: CommandDefinition = {
  name: 'untag',
  define: (command) =>
    command
      .description('Remove a name from an image')
      .argument('<name>', 'The name')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci untag web:stable'),
};
