import { mountOptions } from '../../option-values.js';
import type { CommandDefinition } from '../../session.js';

export const ociMount: CommandDefinition = {
  name: 'mount',
  define: (command) =>
    mountOptions(command)
      .description('Mount the file tree of an image')
      .argument('<image>', 'A tag, or the digest of a manifest')
      .argument('<mountpoint>', 'Directory to mount it on')
      .option('--bootable', 'Mount the image to boot from')
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge oci mount web:stable /mnt --upperdir /var/up --workdir /var/work --read-write',
      ),
};
