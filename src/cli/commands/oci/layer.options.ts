import { Argument, Option } from 'commander';
import { digest } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface LayerOptions extends GlobalOptions {
  dumpfile?: true;
  json?: true;
}

export const ociLayer: CommandDefinition = {
  name: 'layer',
  define: (command) =>
    command
      .description('Write the tar of a stored layer to standard output')
      .addArgument(new Argument('<diff-id>', 'The layer, sha256:…').argParser(digest))
      .addOption(new Option('--dumpfile', 'Print one line per entry, as composefs-dump(5)').conflicts('json'))
      .option('--json', 'Print what the layer consists of')
      .addHelpText('after', `\nExample:\n  $ cfsbridge oci layer sha256:${'1f'.repeat(32)} | tar t`),
};
