import type { CommandDefinition } from '../../session.js';

export const ociFsck: CommandDefinition = {
  name: 'fsck',
  define: (command) =>
    command
      .description('Check the repository and the images in it')
      .argument('[image]', 'Check only the image with this tag; default: all images')
      .option('--json', 'Print JSON')
      .option('--metadata-only', 'Leave out the digests of objects and layers, which take most of the time')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci fsck web:stable'),
};
