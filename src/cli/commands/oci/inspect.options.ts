import { Argument, Option } from 'commander';
import { imageReference, oneOf, platform } from '../../option-values.js';
import {
  policyOptions,
  proxyOptions,
  registryOptions,
  type PolicyCommandOptions,
  type ProxyCommandOptions,
  type RegistryCommandOptions,
} from '../../registry-options.js';
import { referenceForms } from '../../../oci/source/open.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';
import type { Platform } from '../../../spec/platform.js';

export interface InspectOptions
  extends GlobalOptions,
    RegistryCommandOptions,
    PolicyCommandOptions,
    ProxyCommandOptions {
  manifest?: true;
  config?: true;
  platform?: Platform;
}

export const ociInspect: CommandDefinition = {
  name: 'inspect',
  define: (command) =>
    proxyOptions(policyOptions(registryOptions(command)))
      .description('Show an image: its manifest, config and EROFS images as JSON')
      .addArgument(
        new Argument(
          '<image>',
          `A tag, or @ and the digest of a manifest; ${oneOf(referenceForms(true))} for one in a registry; ` +
            'with --proxy whatever that opens',
        ).argParser(imageReference),
      )
      .addOption(new Option('--manifest', 'Print only the manifest, byte for byte').conflicts('config'))
      .option('--config', 'Print only the config, byte for byte')
      .addOption(platform())
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge oci inspect web:stable --config\n' +
          '  $ cfsbridge oci inspect docker://docker.io/library/debian:12',
      ),
};
