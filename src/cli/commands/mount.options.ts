import { mountOptions } from '../option-values.js';
import type { CommandDefinition } from '../session.js';

export const mount: CommandDefinition = {
  name: 'mount',
  define: (command) =>
    mountOptions(command)
      .description('Mount an EROFS image of the repository')
      .argument('<name>', 'The digest of the image, or its name')
      .argument('<mountpoint>', 'Directory to mount it on')
      .addHelpText('after', '\nExample:\n  $ cfsbridge mount refs/web /mnt'),
};
