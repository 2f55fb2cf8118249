import { basename } from 'node:path';
import { Argument, Option, type Command } from 'commander';
import { VERSION } from '../version.js';
import { lazily } from './lazily.js';
import { erofsVersion, path } from './option-values.js';
import { defineImageCommands } from './program-image.js';
import { defineOciCommands } from './program-oci.js';
import { defineRepositoryCommands } from './program-repository.js';
import type { Session } from './session.js';
import { StrictCommand } from './strict-command.js';

/** The cfsctl whose commands these are. */
const CFSCTL_VERSION = '0.9.4';

export const helpHint = "\nFor more information, try '--help'.";

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
    .exitOverride();

  program
    .addOption(new Option('--repo <path>', 'Repository to work on').argParser(path).conflicts(['user', 'system']))
    .option('--no-repo', 'Open no repository, in commands that need none')
    .addOption(new Option('--user', "Repository at the user's standard place, ~/.var/lib/composefs").conflicts('system'))
    .option('--system', "Repository at the system's standard place, /sysroot/composefs")
    .addOption(new Option('--hash <algorithm>', 'Digest algorithm the repository must have').choices(['sha256', 'sha512']))
    .addOption(erofsVersion('EROFS format of images made by this call; default: what the repository says'))
    .option('--require-verity', 'Fail if the repository does not require fs-verity')
    .addOption(new Option('--insecure', 'Do not require fs-verity in this call').hideHelp())
    .addOption(new Option('--no-upgrade', 'Fail on a repository of the old kind without meta.json, instead of writing one'));

  defineRepositoryCommands(program, session);
  defineImageCommands(program, session);
  const oci = defineOciCommands(program, session);

  program
    .command('serve')
    .description('Serve the images of a containers-storage, or of the repository, over a Unix socket')
    .option('--socket <path>', 'Socket file to make; not needed when systemd passes a socket')
    .option('--root <graphroot>', "The store's folder; default: where podman of this user has it")
    .option('--image <name>', 'The image whose layers varlink clients ask for by number')
    .addOption(new Option('--repository', 'Serve the images of the repository instead, to JSON-RPC clients').conflicts(['root', 'image']))
    .addHelpText('after', '\nExample:\n  $ cfsbridge serve --socket /run/cfsbridge.sock')
    .action(lazily(session, () => import('./commands/serve.js')));

  for (const parent of [program, oci]) defineVarlink(parent, session);

  program
    .command('completion')
    .description('Print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'Shell the script is for').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', '\nExample:\n  $ source <(cfsbridge completion bash)')
    .action(lazily(session, () => import('./commands/completion.js')));

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

/** What this program is; called as cfsctl, also which cfsctl it does the work of, in the place where scripts look for that. */
function versionLine(): string {
  const own = `cfsbridge ${VERSION}`;
  return basename(process.argv[1] ?? '') === 'cfsctl' ? `cfsctl ${CFSCTL_VERSION} (${own})` : own;
}

/** cfsctl has this one in two places, and it does the same in both. */
function defineVarlink(parent: Command, session: Session): void {
  parent
    .command('varlink')
    .description('Serve repositories over varlink, with the interfaces of cfsctl')
    .option('--address <path>', 'Socket file to make; not needed when systemd passes a socket')
    .addHelpText('after', '\nExample:\n  $ cfsbridge varlink --address /run/cfsbridge.varlink')
    .action(lazily(session, () => import('./commands/varlink.js')));
}
