import { remoteOptions, type RemoteCommandOptions } from '../../ostree/remote-options.js';
import { formOptions, type FormCommandOptions } from '../../ostree/form-options.js';
import { verifyOptions, type VerifyCommandOptions } from '../../ostree/verify-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface OstreePullOptions
  extends GlobalOptions,
    RemoteCommandOptions,
    VerifyCommandOptions,
    FormCommandOptions {
  baseName?: string;
  delta: boolean;
  json?: true;
}

export const ostreePull: CommandDefinition = {
  name: 'pull',
  define: (command) =>
    formOptions(
      verifyOptions(
        remoteOptions(
          command
            .description(
              'Bring a commit of an ostree repository that a server has into the repository, and make its image',
            )
            .argument('<url>', 'Where the ostree repository is: http://, https:// or file://')
            .argument('<ref>', 'A ref, or the whole id of a commit, which gets no name then')
            .option('--base-name <name>', 'A commit here that has much of the same; default: those that are likely')
            .option('--no-delta', 'Fetch object by object, even if there is a static delta'),
        ),
      ),
    )
      .option('--json', 'Print the result as JSON')
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge ostree pull https://dl.flathub.org/repo app/org.gnome.Chess/x86_64/stable',
      ),
};
