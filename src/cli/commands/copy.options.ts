import { STORE_FORM } from '../../oci/store/destination.js';
import { referenceForms } from '../../oci/source/open.js';
import type { Platform } from '../../spec/platform.js';
import { oneOf, platform } from '../option-values.js';
import {
  policyOptions,
  proxyOptions,
  registryOptions,
  type PolicyCommandOptions,
  type ProxyCommandOptions,
  type RegistryCommandOptions,
} from '../registry-options.js';
import type { CommandDefinition, GlobalOptions } from '../session.js';
import { storeOptions, type StoreCommandOptions } from '../store-options.js';

export interface CopyCommandOptions
  extends GlobalOptions,
    RegistryCommandOptions,
    PolicyCommandOptions,
    ProxyCommandOptions,
    StoreCommandOptions {
  socket?: string;
  from?: string;
  platform?: Platform;
  json?: true;
}

export const copy: CommandDefinition = {
  name: 'copy',
  define: (command) =>
    storeOptions(proxyOptions(policyOptions(registryOptions(command))))
      .description('Copy an image into a containers-storage, without a repository between')
      .argument(
        '<source>',
        `${oneOf(referenceForms())}; with --socket the name that the server knows, or where manifest and config are`,
      )
      .argument('<destination>', `${STORE_FORM}; without a name the image keeps those that it has in its store`)
      .option('--socket <path>', 'Copy from the server behind this socket: cfsbridge, cfsctl or containers-storage')
      .option('--from <repository>', 'With --socket: the repository to read, for servers that open repositories')
      .addOption(platform())
      .option('--json', 'Print the result as JSON')
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge copy containers-storage:localhost/web:1 containers-storage:[overlay@/srv/storage]\n' +
          '  $ cfsbridge copy docker://docker.io/library/debian:12 containers-storage:docker.io/library/debian:12\n' +
          '  $ cfsbridge copy --dry-run oci:layouts/web:stable containers-storage:localhost/web:stable\n' +
          '  $ cfsbridge copy --socket /run/cfsbridge.sock web:stable containers-storage:localhost/web:stable',
      ),
};
