import { Argument, Option, type Command } from 'commander';
import { lazily } from './lazily.js';
import { digest, imageReference, localFetch, mountOptions } from './option-values.js';
import type { Session } from './session.js';

/** The commands about container images in a repository: `cfsbridge oci …`. @returns the command that has them */
export function defineOciCommands(program: Command, session: Session): Command {
  const oci = program.command('oci').description('Work with container images and their layers');

  oci
    .command('pull')
    .description('Bring an image into the repository, verifying every layer')
    .argument('<image>', 'containers-storage:NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or dir:DIR; with --socket the name that the server knows, or where manifest and config are')
    .argument('[name]', 'Tag for the image; default: the image as written')
    .addOption(localFetch())
    .addOption(new Option('--zero-copy', 'The same as --local-fetch zerocopy: fail rather than copy file content').conflicts('localFetch'))
    .option('--socket <path>', 'Pull from the server behind this socket: cfsbridge, cfsctl or containers-storage')
    .option('--from <repository>', 'With --socket: the repository to read, for servers that open repositories')
    .option('--bootable', 'Make the image to boot from as well: /boot and /sysroot emptied, SELinux labels by the policy of the image')
    .option('--expected-digest <hex>', 'With --bootable: make the boot image that has this fs-verity digest, in whatever format and with whichever xattrs')
    .option('--seal-source', "Allow hardlinks that turn fs-verity on for the store's files, which podman then cannot change any more")
    .option('--allow-unverified', 'Take layers that do not match their diff_id, under the digest they really have')
    .option('--json', 'Print the result as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ cfsbridge oci pull containers-storage:docker.io/library/debian:12 debian\n  $ cfsbridge oci pull --bootable containers-storage:quay.io/fedora/fedora-bootc:43 os\n  $ cfsbridge oci pull --socket /run/cfsbridge.sock debian:12 debian\n  $ cfsbridge oci pull --socket /run/cfsctl.sock --from /srv/composefs web:stable',
    )
    .action(lazily(session, () => import('./commands/oci-pull.js')));

  oci
    .command('copy')
    .description('Copy an image or artifact between this and another repository, which may use another digest algorithm')
    .addArgument(new Argument('<image>', 'A tag in the source, or @ and the digest of a manifest').argParser(imageReference))
    .option('--from <repository>', 'The repository to copy from, into this one')
    .addOption(new Option('--to <repository>', 'The repository to copy to, from this one; with --socket').conflicts('from'))
    .option('--socket <path>', 'Let the varlink server behind this socket open the other repository')
    .option('--name <tag>', 'Tag for the copy; without one the next gc takes it')
    .option('--zerocopy', 'Share the objects by reflink or hardlink, or fail')
    .addHelpText('after', '\nExample:\n  $ cfsbridge --repo /srv/new oci copy web:stable --from /srv/old --name web:stable\n  $ cfsbridge --repo /srv/old oci copy web:stable --socket /run/cfsctl.sock --to /srv/new --name web:stable')
    .action(lazily(session, () => import('./commands/oci-copy.js')));

  oci
    .command('import-layer')
    .description('Store the tar on standard input as a layer, verifying it')
    .addArgument(new Argument('<digest>', 'Digest of the tar, sha256:…').argParser(digest))
    .argument('[name]', 'Name for the layer, which keeps it from gc')
    .addHelpText('after', `\nExample:\n  $ cfsbridge oci import-layer sha256:$(sha256sum <layer.tar | cut -c-64) base <layer.tar`)
    .action(lazily(session, () => import('./commands/oci-import-layer.js')));

  oci
    .command('images')
    .description('List the images that have a tag')
    .option('--json', 'Print JSON')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci images --json')
    .action(lazily(session, () => import('./commands/oci-images.js')));

  oci
    .command('inspect')
    .description('Show an image: its manifest, config and EROFS images as JSON')
    .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a manifest').argParser(imageReference))
    .addOption(new Option('--manifest', 'Print only the manifest, byte for byte').conflicts('config'))
    .option('--config', 'Print only the config, byte for byte')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci inspect web:stable --config')
    .action(lazily(session, () => import('./commands/oci-inspect.js')));

  oci
    .command('layer')
    .description('Write the tar of a stored layer to standard output')
    .addArgument(new Argument('<diff-id>', 'The layer, sha256:…').argParser(digest))
    .addOption(new Option('--dumpfile', 'Print one line per entry, as composefs-dump(5)').conflicts('json'))
    .option('--json', 'Print what the layer consists of')
    .addHelpText('after', `\nExample:\n  $ cfsbridge oci layer sha256:${'1f'.repeat(32)} | tar t`)
    .action(lazily(session, () => import('./commands/oci-layer.js')));

  treeCommand(oci.command('dump'))
    .description('Print the file tree of an image as a composefs-dump(5) file')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci dump web:stable | mkcomposefs --from-file - web.erofs')
    .action(lazily(session, () => import('./commands/oci-dump.js')));

  treeCommand(oci.command('compute-id'))
    .description('Print the fs-verity digest of the EROFS image of an image')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci compute-id web:stable')
    .action(lazily(session, () => import('./commands/oci-compute-id.js')));

  mountOptions(oci.command('mount'))
    .description('Mount the file tree of an image')
    .argument('<image>', 'A tag, or the digest of a manifest')
    .argument('<mountpoint>', 'Directory to mount it on')
    .option('--bootable', 'Mount the image to boot from')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci mount web:stable /mnt --upperdir /var/up --workdir /var/work --read-write')
    .action(lazily(session, () => import('./commands/oci-mount.js')));

  oci
    .command('prepare-boot')
    .description('Make the image to boot from, and write its kernel and a boot loader entry to the boot partition')
    .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a config').argParser(imageReference))
    .argument('[verity]', 'The stream of its manifest or config must have this fs-verity digest')
    .option('--bootdir <dir>', 'Where the boot partition is mounted', '/boot')
    .option('--entry-id <id>', 'Name for the boot entry; default: what the image calls it, or the kernel version')
    .addOption(new Option('--cmdline <argument>', 'Kernel argument to add; may be given again').argParser((argument: string, others: string[]) => [...others, argument]).default([], 'none'))
    .option('--json', 'Print what was done as JSON')
    .addHelpText('after', '\nExample:\n  $ cfsbridge --repo /sysroot/composefs oci prepare-boot os --entry-id os-1 --cmdline rw --cmdline console=ttyS0')
    .action(lazily(session, () => import('./commands/oci-prepare-boot.js')));

  oci
    .command('linked-erofs-images')
    .description('List the EROFS images of the container image that one of them belongs to, as JSON')
    .argument('<verity>', 'The fs-verity digest of an EROFS image')
    .addHelpText('after', `\nExample:\n  $ cfsbridge oci linked-erofs-images ${'1f'.repeat(64)}`)
    .action(lazily(session, () => import('./commands/oci-linked-erofs-images.js')));

  oci
    .command('tag')
    .description('Give an image a name')
    .addArgument(new Argument('<manifest-digest>', 'Digest of its manifest, sha256:…').argParser(digest))
    .argument('<name>', 'The name; it cannot start with @')
    .addHelpText('after', `\nExample:\n  $ cfsbridge oci tag sha256:${'1f'.repeat(32)} web:stable`)
    .action(lazily(session, () => import('./commands/oci-tag.js')));

  oci
    .command('untag')
    .description('Remove a name from an image')
    .argument('<name>', 'The name')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci untag web:stable')
    .action(lazily(session, () => import('./commands/oci-untag.js')));

  oci
    .command('fsck')
    .description('Check the repository and the images in it')
    .argument('[image]', 'Check only the image with this tag; default: all images')
    .option('--json', 'Print JSON')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci fsck web:stable')
    .action(lazily(session, () => import('./commands/oci-fsck.js')));
  return oci;
}

/** What the commands share that make a file tree of an image's layers. */
function treeCommand(command: Command): Command {
  return command
    .addArgument(new Argument('<image>', 'A tag, or @ and the digest of a config').argParser(imageReference))
    .argument('[verity]', 'The stream of its manifest or config must have this fs-verity digest')
    .option('--bootable', 'The image to boot from')
    .addOption(
      new Option('--xattrs <mode>', 'Extended attributes to keep').choices(['allowlist-only', 'keep-user-xattrs']).default('allowlist-only'),
    );
}
