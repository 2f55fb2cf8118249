import { Argument, Option, type Command } from 'commander';
import { path } from '../option-values.js';

/** What the commands share that make something of a folder. */
export function folderOptions(command: Command): Command {
  return command
    .option(
      '--bootable',
      'The image to boot from: /boot and /sysroot emptied, SELinux labels by the policy in /etc/selinux',
    )
    .addOption(takenAsItIs())
    .addOption(
      new Option('--xattrs <which>', 'Xattrs to keep when the folder is not taken as it is')
        .choices(['allowlist-only', 'keep-user-xattrs'])
        .default('allowlist-only'),
    );
}

export function folder(): Argument {
  return new Argument('<path>', 'The folder').argParser(path);
}

export function takenAsItIs(): Option {
  return new Option(
    '--no-propagate-usr-to-root',
    'Take the folder as it is: root keeps its own metadata, /run its content, files their xattrs',
  );
}
