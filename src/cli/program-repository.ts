import { Argument, Option, type Command } from 'commander';
import { lazily } from './lazily.js';
import { erofsVersion, mountOptions, path } from './option-values.js';
import type { Session } from './session.js';

/** The commands about a repository as such. */
export function defineRepositoryCommands(program: Command, session: Session): void {
  program
    .command('init')
    .description('Create a repository: its directory and meta.json')
    .addArgument(new Argument('[path]', 'Its directory; default: what --repo, --user or --system says').argParser(path))
    .option('--algorithm <algorithm>', 'Digests of its objects: fsverity-sha512-12 (the default) or fsverity-sha256-12')
    .option('--insecure', 'Work without fs-verity, which some file systems lack')
    .option('--reset-metadata', 'Drop meta.json and all names of an existing repository, keep its objects')
    .option('--ensure', 'Be content with the repository that is there, as long as it has the algorithm')
    .addOption(erofsVersion('EROFS format of the images made in it; default 1, what C mkcomposefs makes'))
    .addHelpText('after', '\nExamples:\n  $ cfsbridge init /srv/images\n  $ cfsbridge --user init --insecure --algorithm fsverity-sha256-12')
    .action(lazily(session, () => import('./commands/init.js')));

  program
    .command('transaction')
    .description('Keep the repository open until ended, so that no garbage collection runs')
    .addHelpText('after', '\nExample:\n  $ cfsbridge transaction & lock=$!; cfsbridge oci pull containers-storage:web; kill $lock')
    .action(lazily(session, () => import('./commands/transaction.js')));

  program
    .command('gc')
    .description('Remove what no tag, ref, mount or deployment leads to; waits until nobody else uses the repository')
    .option('-r, --root <name>', 'A stream or image to keep as well; may be given again', (name: string, names: string[]) => [...names, name], [])
    .option('-n, --dry-run', 'Only say what would be removed')
    .option('--json', 'Print JSON')
    .addHelpText('after', '\nExample:\n  $ cfsbridge gc --dry-run')
    .action(lazily(session, () => import('./commands/gc.js')));

  program
    .command('cat')
    .description('Write the content of a stored stream to standard output')
    .argument('<name>', 'Its content identifier, or a ref with refs/ in front')
    .addHelpText('after', '\nExample:\n  $ cfsbridge cat refs/oci/fedora:44')
    .action(lazily(session, () => import('./commands/cat.js')));

  program
    .command('images')
    .alias('list-images')
    .description('List the images that have a name')
    .option('--json', 'Print JSON')
    .option('--no-trunc', 'Print whole digests')
    .addHelpText('after', '\nExample:\n  $ cfsbridge images --no-trunc')
    .action(lazily(session, () => import('./commands/images.js')));

  mountOptions(program.command('mount'))
    .description('Mount an EROFS image of the repository')
    .argument('<name>', 'The digest of the image, or its name')
    .argument('<mountpoint>', 'Directory to mount it on')
    .addHelpText('after', '\nExample:\n  $ cfsbridge mount refs/web /mnt')
    .action(lazily(session, () => import('./commands/mount.js')));

  program
    .command('fsck')
    .description('Check a repository: objects against their digests, names, streams and images; repair it when asked to')
    .option('--json', 'Print JSON')
    .option('--metadata-only', 'Leave out the digests of objects, which take most of the time')
    .addOption(new Option('--repair', 'Restore what is damaged or missing, and move what stays damaged to quarantine/; waits until nobody else uses the repository').conflicts('metadataOnly'))
    .option('--from <source>', 'Where right content may come from: an image as for oci pull, or the directory of another repository; may be given again', (source: string, sources: string[]) => [...sources, source], [])
    .addHelpText('after', '\nExamples:\n  $ cfsbridge fsck --metadata-only\n  $ cfsbridge fsck --repair --from containers-storage:localhost/web --from /srv/other')
    .action(lazily(session, () => import('./commands/fsck.js')));

  program
    .command('migrate')
    .description('Change the digest algorithm of a repository, or make it require fs-verity, and keep what is in it')
    .option('--algorithm <algorithm>', 'Digests that its objects get: fsverity-sha512-12 or fsverity-sha256-12')
    .option('--verity', 'Turn fs-verity on for every object, and require it from then on')
    .option('--seal-source', 'With --verity, do so for files shared with a containers-storage too, which podman then cannot change any more')
    .addHelpText('after', '\nExamples:\n  $ cfsbridge --repo /srv/images migrate --verity\n  $ cfsbridge --repo /srv/images migrate --algorithm fsverity-sha512-12')
    .action(lazily(session, () => import('./commands/migrate.js')));
}
