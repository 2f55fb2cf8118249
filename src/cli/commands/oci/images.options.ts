import type { CommandDefinition } from '../../session.js';

export const ociImages: CommandDefinition = {
  name: 'images',
  define: (command) =>
    command
      .description('List the images that have a tag')
      .option('--json', 'Print JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci images --json'),
};
