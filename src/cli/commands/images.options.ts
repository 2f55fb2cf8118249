import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface ImagesOptions extends GlobalOptions {
  json?: true;
  trunc: boolean;
}

export const images: CommandDefinition = {
  name: 'images',
  define: (command) =>
    command
      .alias('list-images')
      .description('List the images that have a name')
      .option('--json', 'Print JSON')
      .option('--no-trunc', 'Print whole digests')
      .addHelpText('after', '\nExample:\n  $ cfsbridge images --no-trunc'),
};
