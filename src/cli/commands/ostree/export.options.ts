import { Argument } from 'commander';
import { path } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface ExportOptions extends GlobalOptions {
  reference?: string;
}

export const ostreeExport: CommandDefinition = {
  name: 'export',
  define: (command) =>
    command
      .description('Write a commit into an ostree repository on this machine: bare, bare-user or bare-user-only')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .addArgument(new Argument('<ostree-repository>', 'Its folder').argParser(path))
      .option('--reference <name>', 'A name for the commit there')
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree export web/stable /ostree/repo --reference web/stable'),
};
