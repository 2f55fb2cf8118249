import { Argument, Option, type Command } from 'commander';
import { lazily } from './lazily.js';
import { path } from './option-values.js';
import type { Session } from './session.js';

/** The commands that make images of folders and look into images. */
export function defineImageCommands(program: Command, session: Session): void {
  folderOptions(program.command('create-image'))
    .description('Store the files of a folder, and an image of it; print the image’s id')
    .addArgument(folder())
    .argument('[name]', 'Name for the image')
    .addHelpText('after', '\nExample:\n  $ cfsbridge create-image /srv/rootfs web')
    .action(lazily(session, () => import('./commands/create-image.js')));

  folderOptions(program.command('compute-id'))
    .description('Print the id an image of a folder would have, without storing anything')
    .addArgument(folder())
    .addHelpText('after', '\nExample:\n  $ cfsbridge --no-repo --hash sha256 compute-id /srv/rootfs')
    .action(lazily(session, () => import('./commands/compute-id.js')));

  folderOptions(program.command('create-dumpfile'))
    .description('Print a folder as a dumpfile, without storing anything')
    .addArgument(folder())
    .addHelpText('after', '\nExample:\n  $ cfsbridge --no-repo create-dumpfile /srv/rootfs > rootfs.dump')
    .action(lazily(session, () => import('./commands/create-dumpfile.js')));

  program
    .command('compute-karg')
    .description('Print the kernel argument that names the bootable image of a folder, without storing anything')
    .addArgument(folder())
    .addOption(takenAsItIs())
    .addHelpText('after', '\nExample:\n  $ cfsbridge --no-repo --erofs-version 1 compute-karg /mnt/base > /etc/kernel/cmdline')
    .action(lazily(session, () => import('./commands/compute-karg.js')));

  program
    .command('import-image')
    .description('Store an image from standard input under a name; it is not looked at')
    .argument('<reference>', 'Name for the image')
    .addHelpText('after', '\nExample:\n  $ cfsbridge import-image web < rootfs.erofs')
    .action(lazily(session, () => import('./commands/import-image.js')));

  program
    .command('image-objects')
    .description('List the objects an image refers to')
    .argument('<name>', 'The digest of the image, or its name')
    .addHelpText('after', '\nExample:\n  $ cfsbridge image-objects refs/web')
    .action(lazily(session, () => import('./commands/image-objects.js')));

  program
    .command('dump-files')
    .description('Print files of an image as dumpfile lines; folders with everything below')
    .argument('<name>', 'The digest of the image, or its name')
    .argument('[files...]', 'Paths in the image')
    .option('--backing-path-only', 'Print only where each file’s content is: inline, or its path below objects/')
    .addHelpText('after', '\nExample:\n  $ cfsbridge dump-files refs/web /etc/passwd')
    .action(lazily(session, () => import('./commands/dump-files.js')));
}

function folderOptions(command: Command): Command {
  return command
    .option('--bootable', 'The image to boot from: /boot and /sysroot emptied, SELinux labels by the policy in /etc/selinux')
    .addOption(takenAsItIs())
    .addOption(
      new Option('--xattrs <which>', 'Xattrs that stay when the folder is not taken as it is')
        .choices(['allowlist-only', 'keep-user-xattrs'])
        .default('allowlist-only'),
    );
}

function folder(): Argument {
  return new Argument('<path>', 'The folder').argParser(path);
}

function takenAsItIs(): Option {
  return new Option('--no-propagate-usr-to-root', 'Take the folder as it is: root keeps its own metadata, /run its content, files their xattrs');
}
