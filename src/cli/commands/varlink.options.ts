import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface VarlinkCommandOptions extends GlobalOptions {
  address?: string;
}

export const varlink: CommandDefinition = {
  name: 'varlink',
  define: (command) =>
    command
      .description('Serve repositories over varlink, with the interfaces of cfsctl')
      .option('--address <path>', 'Socket file to make; not needed when systemd passes a socket')
      .addHelpText('after', '\nExample:\n  $ cfsbridge varlink --address /run/cfsbridge.varlink'),
};
