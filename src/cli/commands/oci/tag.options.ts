import { Argument } from 'commander';
import { digest } from '../../option-values.js';
import type { CommandDefinition } from '../../session.js';

export const ociTag: CommandDefinition = {
  name: 'tag',
  define: (command) =>
    command
      .description('Give an image a name')
      .addArgument(new Argument('<manifest-digest>', 'Digest of its manifest, sha256:…').argParser(digest))
      .argument('<name>', 'The name; it cannot start with @')
      .addHelpText('after', `\nExample:\n  $ cfsbridge oci tag sha256:${'1f'.repeat(32)} web:stable`),
};
