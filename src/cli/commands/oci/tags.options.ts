import { oneOf } from '../../option-values.js';
import { registryOptions, type RegistryCommandOptions } from '../../registry-options.js';
import { referenceForms } from '../../../oci/source/open.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface TagsOptions extends GlobalOptions, RegistryCommandOptions {
  json?: true;
}

export const ociTags: CommandDefinition = {
  name: 'tags',
  define: (command) =>
    registryOptions(command)
      .description('List the tags of a repository in a registry')
      .argument('<repository>', oneOf(referenceForms(true)))
      .option('--json', 'Print JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge oci tags docker://docker.io/library/debian'),
};
