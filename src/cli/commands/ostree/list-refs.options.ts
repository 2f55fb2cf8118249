import { remoteOptions, type RemoteCommandOptions } from '../../ostree/remote-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface ListRefsOptions extends GlobalOptions, RemoteCommandOptions {
  subset?: string;
  json?: true;
}

export const ostreeListRefs: CommandDefinition = {
  name: 'list-refs',
  define: (command) =>
    remoteOptions(
      command
        .description('List the refs of an ostree repository that a server has')
        .argument('<url>', 'Where the ostree repository is: http:// or https://')
        .option('--subset <name>', "Which part of a repository that has parts; default: this machine's architecture"),
    )
      .option('--json', 'Print JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree list-refs https://dl.flathub.org/repo'),
};
