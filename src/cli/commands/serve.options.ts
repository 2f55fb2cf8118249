import { Option } from 'commander';
import type { CommandDefinition, GlobalOptions } from '../session.js';

export interface ServeCommandOptions extends GlobalOptions {
  socket?: string;
  root?: string;
  image?: string;
  repository?: true;
}

export const serve: CommandDefinition = {
  name: 'serve',
  define: (command) =>
    command
      .description('Serve the images of a containers-storage, or of the repository, over a Unix socket')
      .option('--socket <path>', 'Socket file to make; not needed when systemd passes a socket')
      .option('--root <graphroot>', "The store's folder; default: where this user's podman keeps it")
      .option('--image <name>', 'The image whose layers varlink clients ask for by number')
      .addOption(
        new Option('--repository', 'Serve the images of the repository instead, to JSON-RPC clients').conflicts([
          'root',
          'image',
        ]),
      )
      .addHelpText('after', '\nExample:\n  $ cfsbridge serve --socket /run/cfsbridge.sock'),
};
