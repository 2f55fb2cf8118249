import { Option } from 'commander';
import {
  policyOptions,
  registryOptions,
  type PolicyCommandOptions,
  type RegistryCommandOptions,
} from '../registry-options.js';
import { wholeNumber } from '../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface ProxyCommandOptions extends GlobalOptions, RegistryCommandOptions, PolicyCommandOptions {
  sockfd?: number;
  idleLimit?: number;
  overrideArch?: string;
  overrideOs?: string;
  overrideVariant?: string;
  userAgentPrefix?: string;
  sharedBlobDir?: string;
}

export const proxy: CommandDefinition = {
  name: 'proxy',
  define: (command) =>
    policyOptions(registryOptions(command))
      .description("Serve images to one program that speaks skopeo's image proxy protocol, such as bootc")
      .addOption(
        new Option('--sockfd <number>', "The program's socket; default: standard input").argParser(wholeNumber),
      )
      .addOption(
        new Option(
          '--idle-limit <seconds>',
          'Give up a blob of which nothing came, or whose reader took nothing, for so long; 0: never; default: 60',
        ).argParser(wholeNumber),
      )
      .option('--override-arch <name>', "Take images for this architecture instead of this machine's")
      .option('--override-os <name>', 'Take images for this operating system instead of linux')
      .option('--override-variant <name>', 'Take images for this variant of the architecture')
      .option('--shared-blob-dir <dir>', 'Where the blobs of oci: layouts are')
      .option('--user-agent-prefix <text>', "What registries are told before this program's own name")
      .addHelpText(
        'after',
        '\nPrograms start it as "skopeo experimental-image-proxy": a link of that name is all they need.\n' +
          '\nExample:\n  $ ln -s "$(command -v cfsbridge)" /usr/local/bin/skopeo',
      ),
};
