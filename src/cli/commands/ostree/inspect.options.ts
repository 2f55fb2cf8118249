import { Option } from 'commander';
import type { CommandDefinition } from '../../session.js';

export const ostreeInspect: CommandDefinition = {
  name: 'inspect',
  define: (command) =>
    command
      .description('Show a commit')
      .argument('<commit>', 'A name, an id, or the first digits of one')
      .option('--metadata', 'Print only its metadata, as KEY=VALUE')
      .addOption(new Option('--json', 'Print all that is in the commit stream as JSON').conflicts('metadata'))
      .addHelpText('after', '\nExample:\n  $ cfsbridge ostree inspect --metadata fedora/43/x86_64/silverblue'),
};
