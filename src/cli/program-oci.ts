import { Argument, type Command } from 'commander';
import { lazily } from './lazily.js';
import { sha256Digest } from './option-values.js';
import type { Session } from './session.js';

/** The commands about container images in a repository: `cfsbridge oci …`. */
export function defineOciCommands(program: Command, session: Session): void {
  const oci = program.command('oci').description('Work with container images and their layers');

  oci
    .command('tag')
    .description('Give an image a name')
    .addArgument(new Argument('<manifest-digest>', 'Digest of its manifest, sha256:…').argParser(sha256Digest))
    .argument('<name>', 'The name; it cannot start with @')
    .addHelpText('after', `\nExample:\n  $ cfsbridge oci tag sha256:${'1f'.repeat(32)} web:stable`)
    .action(lazily(session, () => import('./commands/oci-tag.js')));

  oci
    .command('untag')
    .description('Remove a name from an image')
    .argument('<name>', 'The name')
    .addHelpText('after', '\nExample:\n  $ cfsbridge oci untag web:stable')
    .action(lazily(session, () => import('./commands/oci-untag.js')));
}
