import { folder, folderOptions } from './folder.options.js';
import type { CommandDefinition } from '../session.js';

export const createImage: CommandDefinition = {
  name: 'create-image',
  define: (command) =>
    folderOptions(command)
      .description('Store the files of a folder, and an image of it; print the image’s id')
      .addArgument(folder())
      .argument('[name]', 'Name for the image')
      .addHelpText('after', '\nExample:\n  $ cfsbridge create-image /srv/rootfs web'),
};
