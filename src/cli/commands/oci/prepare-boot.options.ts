import { Argument, Option } from 'commander';
import { imageReference } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface PrepareBootCommandOptions extends GlobalOptions {
  bootdir: string;
  entryId?: string;
  cmdline: string[];
  json?: true;
}

export const ociPrepareBoot: CommandDefinition = {
  name: 'prepare-boot',
  define: (command) =>
    command
      .description('Make the image to boot from, and write its kernel and a boot loader entry to the boot partition')
      .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a config').argParser(imageReference))
      .argument('[verity]', 'The stream of its manifest or config must have this fs-verity digest')
      .option('--bootdir <dir>', 'Where the boot partition is mounted', '/boot')
      .option('--entry-id <id>', 'Name for the boot entry; default: what the image calls it, or the kernel version')
      .addOption(
        new Option('--cmdline <argument>', 'Kernel argument to add; may be repeated')
          .argParser((argument: string, others: string[]) => [...others, argument])
          .default([], 'none'),
      )
      .option('--json', 'Print what was done as JSON')
      .addHelpText(
        'after',
        '\n' +
          'Example:\n' +
          '  $ cfsbridge --repo /sysroot/composefs oci prepare-boot os --entry-id os-1 --cmdline rw ' +
          '--cmdline console=ttyS0',
      ),
};
