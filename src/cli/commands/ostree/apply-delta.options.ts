import { Argument } from 'commander';
import { path } from '../../option-values.js';
import { fixXattrsOption } from '../../ostree/form-options.js';
import { verifyOptions, type VerifyCommandOptions } from '../../ostree/verify-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface ApplyDeltaOptions extends GlobalOptions, VerifyCommandOptions {
  reference?: string;
  fixXattrs?: true;
  json?: true;
}

export const ostreeApplyDelta: CommandDefinition = {
  name: 'apply-delta',
  define: (command) =>
    fixXattrsOption(verifyOptions(command))
      .description('Make a commit of a static delta in files, and of the commit that it is from, and make its image')
      .addArgument(
        new Argument('<file>', 'The beginning of the delta, with the parts in it or beside it').argParser(path),
      )
      .option('--reference <name>', 'A name for the commit, for which it must be signed where keys are given')
      .option('--json', 'Print the result as JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree apply-delta update/superblock'),
};
