import { Argument } from 'commander';
import { digest } from '../../option-values.js';
import type { CommandDefinition } from '../../session.js';

export const ociImportLayer: CommandDefinition = {
  name: 'import-layer',
  define: (command) =>
    command
      .description('Store the tar on standard input as a layer, verifying it')
      .addArgument(new Argument('<digest>', 'Digest of the tar, sha256:…').argParser(digest))
      .argument('[name]', 'Name for the layer, which keeps it from gc')
      .addHelpText(
        'after',
        `\nExample:\n  $ cfsbridge oci import-layer sha256:$(sha256sum <layer.tar | cut -c-64) base <layer.tar`,
      ),
};
