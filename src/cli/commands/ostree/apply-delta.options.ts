import { Argument } from 'commander';
import { path } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface ApplyDeltaOptions extends GlobalOptions {
  json?: true;
}

export const ostreeApplyDelta: CommandDefinition = {
  name: 'apply-delta',
  define: (command) =>
    command
      .description('Make a commit of a static delta in files, and of the commit that it is from, and make its image')
      .addArgument(
        new Argument('<file>', 'The beginning of the delta, with the parts in it or beside it').argParser(path),
      )
      .option('--json', 'Print the result as JSON')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree apply-delta update/superblock'),
};
