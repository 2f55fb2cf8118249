import { Argument } from 'commander';
import { erofsVersion, path } from '../option-values.js';
import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface InitCommandOptions extends GlobalOptions {
  algorithm?: string;
  resetMetadata?: true;
  ensure?: true;
}

export const init: CommandDefinition = {
  name: 'init',
  define: (command) =>
    command
      .description('Create a repository: its directory and meta.json')
      .addArgument(
        new Argument('[path]', 'Its directory; default: what --repo, --user or --system says').argParser(path),
      )
      .option(
        '--algorithm <algorithm>',
        'Digests of its objects: fsverity-sha512-12 (the default) or fsverity-sha256-12',
      )
      .option('--insecure', 'Work without fs-verity, which some file systems lack')
      .option('--reset-metadata', 'Drop meta.json and all names of an existing repository, keep its objects')
      .option('--ensure', 'Accept a repository that exists already, if it has the algorithm')
      .addOption(erofsVersion('EROFS format of the images made in it; default 1, what C mkcomposefs makes'))
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge init /srv/images\n' +
          '  $ cfsbridge --user init --insecure --algorithm fsverity-sha256-12',
      ),
};
