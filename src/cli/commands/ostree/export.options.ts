import { Argument } from 'commander';
import { timestampOption } from '../../ostree/commit-time.js';
import { path } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface ExportOptions extends GlobalOptions {
  reference?: string;
  oci?: true;
  subject?: string;
  /** seconds since 1970 */
  timestamp?: bigint;
}

export const ostreeExport: CommandDefinition = {
  name: 'export',
  define: (command) =>
    command
      .description('Write a commit into an ostree repository on this machine: bare, bare-user or bare-user-only')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .addArgument(new Argument('<ostree-repository>', 'Its folder').argParser(path))
      .option('--reference <name>', 'A name for the commit there')
      .option('--oci', 'Not a commit: a container image of the repository, of which one is made')
      .option('--subject <text>', 'With --oci: what the commit is about')
      .addOption(timestampOption())
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree export web/stable /ostree/repo --reference web/stable'),
};
