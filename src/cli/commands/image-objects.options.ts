import type { CommandDefinition } from '../session.js';

export const imageObjects: CommandDefinition = {
  name: 'image-objects',
  define: (command) =>
    command
      .description('List the objects an image refers to')
      .argument('<name>', 'The digest of the image, or its name')
      .addHelpText('after', '\nExample:\n  $ cfsbridge image-objects refs/web'),
};
