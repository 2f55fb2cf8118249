import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface MigrateCommandOptions extends GlobalOptions {
  algorithm?: string;
  verity?: true;
  sealSource?: true;
}

export const migrate: CommandDefinition = {
  name: 'migrate',
  define: (command) =>
    command
      .description('Change the digest algorithm of a repository, or make it require fs-verity, and keep what is in it')
      .option('--algorithm <algorithm>', 'Digests that its objects get: fsverity-sha512-12 or fsverity-sha256-12')
      .option('--verity', 'Turn fs-verity on for every object, and require it from then on')
      .option(
        '--seal-source',
        'With --verity, do so for files shared with a containers-storage too, which podman then cannot change any more',
      )
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge --repo /srv/images migrate --verity\n' +
          '  $ cfsbridge --repo /srv/images migrate --algorithm fsverity-sha512-12',
      ),
};
