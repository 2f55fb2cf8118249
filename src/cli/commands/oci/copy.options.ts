import { Argument, Option } from 'commander';
import { imageReference } from '../../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface CopyCommandOptions extends GlobalOptions {
  from?: string;
  to?: string;
  socket?: string;
  name?: string;
  zerocopy?: true;
}

export const ociCopy: CommandDefinition = {
  name: 'copy',
  define: (command) =>
    command
      .description(
        'Copy an image or artifact between this and another repository, which may use another digest algorithm',
      )
      .addArgument(
        new Argument('<image>', 'A tag in the source, or @ and the digest of a manifest').argParser(imageReference),
      )
      .option('--from <repository>', 'The repository to copy from, into this one')
      .addOption(
        new Option('--to <repository>', 'The repository to copy to, from this one; with --socket').conflicts('from'),
      )
      .option('--socket <path>', 'Let the varlink server behind this socket open the other repository')
      .option('--name <tag>', 'Tag for the copy; without one the next gc removes it')
      .option('--zerocopy', 'Share the objects by reflink or hardlink, or fail')
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge --repo /srv/new oci copy web:stable --from /srv/old --name web:stable\n  $ ' +
          'cfsbridge --repo /srv/old oci copy web:stable --socket /run/cfsctl.sock --to /srv/new --name web:stable',
      ),
};
