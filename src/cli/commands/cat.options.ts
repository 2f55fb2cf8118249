import type { CommandDefinition } from '../session.js';

export const cat: CommandDefinition = {
  name: 'cat',
  define: (command) =>
    command
      .description('Write the content of a stored stream to standard output')
      .argument('<name>', 'Its content identifier, or a ref with refs/ in front')
      .addHelpText('after', '\nExample:\n  $ cfsbridge cat refs/oci/fedora:44'),
};
