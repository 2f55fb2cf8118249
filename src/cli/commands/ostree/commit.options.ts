import { timestampOption } from '../../ostree/commit-time.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';

export interface CommitOptions extends GlobalOptions {
  reference?: string;
  subject?: string;
  /** seconds since 1970 */
  timestamp?: bigint;
  json?: true;
}

export const ostreeCommit: CommandDefinition = {
  name: 'commit',
  define: (command) =>
    command
      .description('Make an ostree commit of an image of the repository, or of a folder')
      .argument('<image>', 'The digest of an EROFS image, refs/ and a name of one; or a folder, with / or ./ in front')
      .option('--reference <name>', 'A name for the commit, which its metadata has, too')
      .option('--subject <text>', 'What the commit is about')
      .addOption(timestampOption())
      .option('--json', 'Print the result as JSON')
      .addHelpText(
        'after',
        '\nExample:\n  $ cfsbridge ostree commit refs/web --reference web/stable --subject "Release 3"',
      ),
};
