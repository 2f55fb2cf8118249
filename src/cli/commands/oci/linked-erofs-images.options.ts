import type { CommandDefinition } from '../../session.js';

export const ociLinkedErofsImages: CommandDefinition = {
  name: 'linked-erofs-images',
  define: (command) =>
    command
      .description('List the EROFS images of the container image that one of them belongs to, as JSON')
      .argument('<verity>', 'The fs-verity digest of an EROFS image')
      .addHelpText('after', `\nExample:\n  $ cfsbridge oci linked-erofs-images ${'1f'.repeat(64)}`),
};
