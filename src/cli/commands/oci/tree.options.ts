import { Argument, Option, type Command } from 'commander';
import { imageReference } from '../../option-values.js';

/** What the commands share that make a file tree of an image's layers. */
export function treeCommand(command: Command): Command {
  return command
    .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a config').argParser(imageReference))
    .argument('[verity]', 'The stream of its manifest or config must have this fs-verity digest')
    .option('--bootable', 'The image to boot from')
    .addOption(
      new Option('--xattrs <mode>', 'Extended attributes to keep')
        .choices(['allowlist-only', 'keep-user-xattrs'])
        .default('allowlist-only'),
    );
}
