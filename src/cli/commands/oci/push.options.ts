import { Argument, Option } from 'commander';
import { imageReference, oneOf, positiveCount } from '../../option-values.js';
import { registryOptions, type RegistryCommandOptions } from '../../registry-options.js';
import { destinationForms } from '../../../oci/push/destination/open.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';
import { allOptions, storeOptions, type AllCommandOptions, type StoreCommandOptions } from '../../store-options.js';
import type { Compression } from '../../../compress/decompress.js';

export interface PushCommandOptions
  extends GlobalOptions,
    RegistryCommandOptions,
    StoreCommandOptions,
    AllCommandOptions {
  compression?: Compression;
  compressionLevel?: number;
  parallel?: number;
  referrers?: true;
  mountFrom: readonly string[];
  json?: true;
}

export const ociPush: CommandDefinition = {
  name: 'push',
  define: (command) =>
    allOptions(
      storeOptions(registryOptions(command), 'For containers-storage'),
      'Push all tagged images into the containers-storage that is the only argument then: containers-storage:[STORE]',
      'take names from images of the store that are no tags of the repository',
    )
      .description('Push an image or artifact to a registry, or into a containers-storage, folder or archive')
      .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a manifest').argParser(imageReference))
      .argument('[destination]', oneOf(destinationForms()))
      .addOption(
        new Option(
          '--compression <algorithm>',
          'How to compress layers; default: as they were when they were pulled',
        ).choices(['gzip', 'zstd', 'none']),
      )
      .addOption(
        new Option(
          '--compression-level <number>',
          'With --compression: 1 to 9 for gzip, default 6; 1 to 19 for zstd, default 3',
        ).argParser(positiveCount),
      )
      .addOption(
        new Option('--parallel <number>', 'How many layers to send at the same time; default: 3').argParser(
          positiveCount,
        ),
      )
      .option('--referrers', 'Send signatures, attestations and whatever else refers to the image as well')
      .addOption(
        new Option(
          '--mount-from <repository>',
          'For registries: a repository HOST/PATH of the same registry that may have layers; may be repeated',
        )
          .argParser((repository: string, others: string[]) => [...others, repository])
          .default([], 'none'),
      )
      .option('--json', 'Print the result as JSON')
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge oci push web:stable docker://registry.example.com/web:stable\n' +
          '  $ cfsbridge oci push --compression zstd web:stable oci:layouts/web:stable\n' +
          '  $ cfsbridge oci push web:stable containers-storage:localhost/web:stable\n' +
          "  $ cfsbridge oci push --all --filter 'localhost/*' containers-storage:",
      ),
};
