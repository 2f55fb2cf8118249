import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface DumpFilesOptions extends GlobalOptions {
  backingPathOnly?: true;
}

export const dumpFiles: CommandDefinition = {
  name: 'dump-files',
  define: (command) =>
    command
      .description('Print files of an image as dumpfile lines; folders with everything below')
      .argument('<name>', 'The digest of the image, or its name')
      .argument('[files...]', 'Paths in the image')
      .option('--backing-path-only', 'Print only where each file’s content is: inline, or its path below objects/')
      .addHelpText('after', '\nExample:\n  $ cfsbridge dump-files refs/web /etc/passwd'),
};
