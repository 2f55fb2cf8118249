import { Option, type Command } from 'commander';
import { VERSION } from '../version.js';
import { isCalledCfsctl } from './called-as.js';
import { cat } from './commands/cat.options.js';
import { completion } from './commands/completion.options.js';
import { computeId } from './commands/compute-id.options.js';
import { computeKarg } from './commands/compute-karg.options.js';
import { copy } from './commands/copy.options.js';
import { createDumpfile } from './commands/create-dumpfile.options.js';
import { createImage } from './commands/create-image.options.js';
import { dumpFiles } from './commands/dump-files.options.js';
import { fsck } from './commands/fsck.options.js';
import { gc } from './commands/gc.options.js';
import { imageObjects } from './commands/image-objects.options.js';
import { images } from './commands/images.options.js';
import { importImage } from './commands/import-image.options.js';
import { init } from './commands/init.options.js';
import { migrate } from './commands/migrate.options.js';
import { mount } from './commands/mount.options.js';
import { ociComputeId } from './commands/oci/compute-id.options.js';
import { ociCopy } from './commands/oci/copy.options.js';
import { ociCreateDelta } from './commands/oci/create-delta.options.js';
import { ociDump } from './commands/oci/dump.options.js';
import { ociFsck } from './commands/oci/fsck.options.js';
import { ociImages } from './commands/oci/images.options.js';
import { ociImportLayer } from './commands/oci/import-layer.options.js';
import { ociInspect } from './commands/oci/inspect.options.js';
import { ociLayer } from './commands/oci/layer.options.js';
import { ociLinkedErofsImages } from './commands/oci/linked-erofs-images.options.js';
import { ociMount } from './commands/oci/mount.options.js';
import { ociPrepareBoot } from './commands/oci/prepare-boot.options.js';
import { ociPull } from './commands/oci/pull.options.js';
import { ociPush } from './commands/oci/push.options.js';
import { ociTag } from './commands/oci/tag.options.js';
import { ociTags } from './commands/oci/tags.options.js';
import { ociUntag } from './commands/oci/untag.options.js';
import { ostreeCommit } from './commands/ostree/commit.options.js';
import { ostreeComputeId } from './commands/ostree/compute-id.options.js';
import { ostreeApplyDelta } from './commands/ostree/apply-delta.options.js';
import { ostreeListRefs } from './commands/ostree/list-refs.options.js';
import { ostreeDump } from './commands/ostree/dump.options.js';
import { ostreeExport } from './commands/ostree/export.options.js';
import { ostreeImages } from './commands/ostree/images.options.js';
import { ostreeInspect } from './commands/ostree/inspect.options.js';
import { ostreeMount } from './commands/ostree/mount.options.js';
import { ostreePullLocal } from './commands/ostree/pull-local.options.js';
import { ostreePull } from './commands/ostree/pull.options.js';
import { ostreeTag } from './commands/ostree/tag.options.js';
import { ostreeUntag } from './commands/ostree/untag.options.js';
import { proxy } from './commands/proxy.options.js';
import { serve } from './commands/serve.options.js';
import { transaction } from './commands/transaction.options.js';
import { varlink } from './commands/varlink.options.js';
import { lazily } from './lazily.js';
import { erofsVersion, path } from './option-values.js';
import type { CommandDefinition, CommandModule, Session } from './session.js';
import { StrictCommand } from './strict-command.js';
import { talk } from './talk.js';

/** The cfsctl whose commands these are. */
const CFSCTL_VERSION = '0.9.4';

export const helpHint = "\nFor more information, try '--help'.";

/** What is known of a command without its module, and the module. */
type Entry = readonly [definition: CommandDefinition, load: () => Promise<CommandModule<never, never>>];

/** In the order of help. */
const COMMANDS: readonly Entry[] = [
  [init, () => import('./commands/init.js')],
  [transaction, () => import('./commands/transaction.js')],
  [gc, () => import('./commands/gc.js')],
  [cat, () => import('./commands/cat.js')],
  [images, () => import('./commands/images.js')],
  [mount, () => import('./commands/mount.js')],
  [fsck, () => import('./commands/fsck.js')],
  [migrate, () => import('./commands/migrate.js')],
  [createImage, () => import('./commands/create-image.js')],
  [computeId, () => import('./commands/compute-id.js')],
  [createDumpfile, () => import('./commands/create-dumpfile.js')],
  [computeKarg, () => import('./commands/compute-karg.js')],
  [importImage, () => import('./commands/import-image.js')],
  [imageObjects, () => import('./commands/image-objects.js')],
  [dumpFiles, () => import('./commands/dump-files.js')],
];

/** Those of `cfsbridge oci`. */
const OCI_COMMANDS: readonly Entry[] = [
  [ociPull, () => import('./commands/oci/pull.js')],
  [ociPush, () => import('./commands/oci/push.js')],
  [ociCopy, () => import('./commands/oci/copy.js')],
  [ociCreateDelta, () => import('./commands/oci/create-delta.js')],
  [ociImportLayer, () => import('./commands/oci/import-layer.js')],
  [ociImages, () => import('./commands/oci/images.js')],
  [ociInspect, () => import('./commands/oci/inspect.js')],
  [ociTags, () => import('./commands/oci/tags.js')],
  [ociLayer, () => import('./commands/oci/layer.js')],
  [ociDump, () => import('./commands/oci/dump.js')],
  [ociComputeId, () => import('./commands/oci/compute-id.js')],
  [ociMount, () => import('./commands/oci/mount.js')],
  [ociPrepareBoot, () => import('./commands/oci/prepare-boot.js')],
  [ociLinkedErofsImages, () => import('./commands/oci/linked-erofs-images.js')],
  [ociTag, () => import('./commands/oci/tag.js')],
  [ociUntag, () => import('./commands/oci/untag.js')],
  [ociFsck, () => import('./commands/oci/fsck.js')],
];

/** Those of `cfsbridge ostree`. */
const OSTREE_COMMANDS: readonly Entry[] = [
  [ostreePullLocal, () => import('./commands/ostree/pull-local.js')],
  [ostreePull, () => import('./commands/ostree/pull.js')],
  [ostreeApplyDelta, () => import('./commands/ostree/apply-delta.js')],
  [ostreeListRefs, () => import('./commands/ostree/list-refs.js')],
  [ostreeCommit, () => import('./commands/ostree/commit.js')],
  [ostreeExport, () => import('./commands/ostree/export.js')],
  [ostreeImages, () => import('./commands/ostree/images.js')],
  [ostreeInspect, () => import('./commands/ostree/inspect.js')],
  [ostreeDump, () => import('./commands/ostree/dump.js')],
  [ostreeComputeId, () => import('./commands/ostree/compute-id.js')],
  [ostreeMount, () => import('./commands/ostree/mount.js')],
  [ostreeTag, () => import('./commands/ostree/tag.js')],
  [ostreeUntag, () => import('./commands/ostree/untag.js')],
];

const COPY: Entry = [copy, () => import('./commands/copy.js')];
const SERVE: Entry = [serve, () => import('./commands/serve.js')];
const PROXY: Entry = [proxy, () => import('./commands/proxy.js')];
/** cfsctl has this one in two places, and it does the same in both. */
const VARLINK: Entry = [varlink, () => import('./commands/varlink.js')];
const COMPLETION: Entry = [completion, () => import('./commands/completion.js')];

/**
 * The grammar of the command line: that of cfsctl where both have a command. The commands themselves are
 * loaded only when they run, so that `--help` and shell completion are quick.
 */
export function createProgram(session: Session): Command {
  const program = new StrictCommand('cfsbridge')
    .description('Turns container images into a composefs repository, and works on such repositories')
    .version(versionLine(), '-V, --version', 'Print version')
    .helpOption('-h, --help', 'Print help')
    .helpCommand(false)
    .showHelpAfterError(helpHint)
    .configureOutput({ writeErr: talk })
    .exitOverride();

  program
    .addOption(new Option('--repo <path>', 'Repository to work on').argParser(path).conflicts(['user', 'system']))
    .option('--no-repo', 'Open no repository, in commands that need none')
    .addOption(
      new Option('--user', "Repository at the user's standard place, ~/.var/lib/composefs").conflicts('system'),
    )
    .option('--system', "Repository at the system's standard place, /sysroot/composefs")
    .addOption(
      new Option('--hash <algorithm>', 'Digest algorithm the repository must have').choices(['sha256', 'sha512']),
    )
    .addOption(erofsVersion('EROFS format of images made by this call; default: what the repository says'))
    .option('--require-verity', 'Fail if the repository does not require fs-verity')
    .addOption(new Option('--insecure', 'Do not require fs-verity in this call').hideHelp())
    .option(
      '--trust-repository',
      'Work on a repository that belongs to somebody other than root or you, and trust its owner',
    )
    .addOption(
      new Option('--no-upgrade', 'Fail on a repository of the old kind without meta.json, instead of writing one'),
    );

  const add = (parent: Command, [definition, load]: Entry): void => {
    definition.define(parent.command(definition.name)).action(lazily(session, load));
  };
  for (const entry of COMMANDS) add(program, entry);
  const oci = program.command('oci').description('Work with container images and their layers');
  for (const entry of [...OCI_COMMANDS, VARLINK]) add(oci, entry);
  const ostree = program.command('ostree').description('Work with ostree commits');
  for (const entry of OSTREE_COMMANDS) add(ostree, entry);
  for (const entry of [COPY, SERVE, PROXY, VARLINK]) add(program, entry);

  // For their help alone: they are started before the command line is parsed.
  for (const [name, what] of [
    ['mkcomposefs', 'Make an image of a folder or a dumpfile, as mkcomposefs does'],
    ['composefs-info', 'Show what is in images, as composefs-info does'],
  ] as const)
    program.command(name, { hidden: true }).description(what).argument('[args...]', `Arguments of ${name}`);

  add(program, COMPLETION);

  program
    .command('help')
    .description('Print the help of a command')
    .argument('[command...]', 'Its words, like oci pull')
    .addHelpText('after', '\nExample:\n  $ cfsbridge help oci pull')
    .action((words: string[]) => helpOf(program, words));

  program.addHelpText('after', '\nExample:\n  $ cfsbridge --repo /srv/images oci images');
  return program;
}

function helpOf(program: Command, words: readonly string[]): void {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word || child.aliases().includes(word));
    command = next ?? command.error(`error: unknown command '${word}'`);
  }
  command.help();
}

/**
 * What this program is; called as cfsctl, also which cfsctl it does the work of, in the place where scripts look for
 * that.
 */
function versionLine(): string {
  const own = `cfsbridge ${VERSION}`;
  return isCalledCfsctl ? `cfsctl ${CFSCTL_VERSION} (${own})` : own;
}
