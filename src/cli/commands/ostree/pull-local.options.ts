import type { LocalFetch } from '../../../repository/local-fetch.js';
import { localFetch, path } from '../../option-values.js';
import { formOptions, type FormCommandOptions } from '../../ostree/form-options.js';
import { verifyOptions, type VerifyCommandOptions } from '../../ostree/verify-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';
import { Argument } from 'commander';

export interface PullLocalOptions extends GlobalOptions, VerifyCommandOptions, FormCommandOptions {
  localFetch: LocalFetch;
  baseName?: string;
  json?: true;
}

export const ostreePullLocal: CommandDefinition = {
  name: 'pull-local',
  define: (command) =>
    formOptions(verifyOptions(command))
      .description(
        'Bring a commit of an ostree repository, or of another repository, on this machine into the repository, and ' +
          'make its image',
      )
      .addArgument(
        new Argument('<ostree-repository>', 'Its folder, or that of another composefs repository').argParser(path),
      )
      .argument('<ref>', 'A ref, or the whole id of a commit, which gets no name then')
      .option('--base-name <name>', 'A commit here that has much of the same; default: those that are likely')
      .addOption(localFetch())
      .option('--json', 'Print the result as JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree pull-local /ostree/repo fedora/43/x86_64/silverblue'),
};
