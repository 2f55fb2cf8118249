import { Argument, InvalidArgumentError, Option } from 'commander';
import { deltaDestinationForms } from '../../../oci/delta/check-destination.js';
import { imageReference, oneOf, positiveCount } from '../../option-values.js';
import { registryOptions, type RegistryCommandOptions } from '../../registry-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface CreateDeltaCommandOptions extends GlobalOptions, RegistryCommandOptions {
  format?: 1 | 2;
  compressionLevel?: number;
  stats?: true;
  json?: true;
}

export const ociCreateDelta: CommandDefinition = {
  name: 'create-delta',
  define: (command) =>
    registryOptions(command)
      .description('Make what turns one image into another, for machines that have the first')
      .addArgument(new Argument('<old>', 'A tag, or @ and the digest of a manifest').argParser(imageReference))
      .addArgument(new Argument('<new>', 'The image that it makes, the same way').argParser(imageReference))
      .argument('<destination>', `${oneOf(deltaDestinationForms())}; in a registry it refers to the new image there`)
      .addOption(
        new Option(
          '--format <number>',
          'Of the patches: 2, the default, or 1 for programs that know no frames with dictionaries; it is larger',
        )
          .choices(['1', '2'])
          .argParser((value) => {
            if (!/^[12]$/.test(value)) throw new InvalidArgumentError('Allowed choices are 1, 2.');
            return Number(value);
          }),
      )
      .addOption(new Option('--compression-level <number>', 'Of zstd: 1 to 19, default 12').argParser(positiveCount))
      .option('-s, --stats', 'Print what became of each layer')
      .option('--json', 'Print the result as JSON, with what became of each layer')
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge oci create-delta os:41 os:42 oci-archive:os-41-42.delta\n' +
          '  $ cfsbridge oci create-delta os:41 os:42 docker://registry.example.com/os',
      ),
};
