import { Option } from 'commander';
import { remoteOptions, type RemoteCommandOptions } from '../ostree/remote-options.js';
import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface FsckCommandOptions extends GlobalOptions, RemoteCommandOptions {
  json?: true;
  metadataOnly?: true;
  repair?: true;
  from: string[];
}

export const fsck: CommandDefinition = {
  name: 'fsck',
  define: (command) =>
    remoteOptions(
      command
        .description(
          'Check a repository: objects against their digests, names, streams and images; repair it when asked to',
        )
        .option('--json', 'Print JSON')
        .option('--metadata-only', 'Leave out the digests of objects, which take most of the time')
        .addOption(
          new Option(
            '--repair',
            'Restore what is damaged or missing, and move what stays damaged to quarantine/; waits until nobody else ' +
              'is using the repository',
          ).conflicts('metadataOnly'),
        )
        .option(
          '--from <source>',
          'Where to look for intact content: an image as for oci pull, the directory of another repository, or an ' +
            'ostree repository, by its directory or URL; may be given again',
          (source: string, sources: string[]) => [...sources, source],
          [],
        ),
      'For servers of ostree',
    ).addHelpText(
      'after',
      '\n' +
        'Examples:\n' +
        '  $ cfsbridge fsck --metadata-only\n' +
        '  $ cfsbridge fsck --repair --from containers-storage:localhost/web --from /srv/other\n' +
        '  $ cfsbridge fsck --repair --from https://dl.flathub.org/repo --from /ostree/repo\n' +
        '  $ cfsbridge fsck --repair --from https://example.org/repo --creds me:secret',
    ),
};
