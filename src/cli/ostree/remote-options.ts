import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseHeader, type Header } from '../../ostree/http/header.js';
import type { RemoteOptions } from '../../ostree/http/remote.js';
import { boolean, credentials, registryChoice, registryFlagIn } from '../registry-options.js';
import type { Credentials } from '../../registry/credentials.js';

export interface RemoteCommandOptions {
  authfile?: string;
  /** false: `--no-creds` */
  creds?: Credentials | false;
  certDir?: string;
  tlsVerify?: boolean;
  header: readonly Header[];
}

/**
 * Adds what says who to be at a server, and whom to believe.
 * @param about what the options are about, where others are not
 */
export function remoteOptions(command: Command, about?: string): Command {
  const text = (what: string): string =>
    about === undefined ? what : `${about}: ${what.slice(0, 1).toLowerCase()}${what.slice(1)}`;
  return command
    .option('--authfile <file>', text('The only file to look for passwords in; default: those of podman and docker'))
    .addOption(new Option('--creds <user:password>', text('The credentials to use')).argParser(credentials))
    .option('--no-creds', text('Send no credentials, even if there are any'))
    .option('--cert-dir <dir>', text('Certificates of authorities and of this client, instead of those in certs.d'))
    .addOption(new Option('--tls-verify <bool>', text('false accepts any certificate')).argParser(boolean))
    .option(
      '--header <name:value>',
      text('Send this to the server of the URL with each request; repeatable'),
      (value: string, before: readonly Header[]) => [...before, header(value)],
      [],
    );
}

/** The first of the options that was given. */
export function remoteFlagIn(options: RemoteCommandOptions): string | undefined {
  return registryFlagIn(options) ?? (options.header.length > 0 ? '--header' : undefined);
}

/** What the options mean. */
export function remoteChoice({ header: headers, ...options }: RemoteCommandOptions): RemoteOptions {
  const { authFile, credentials: who, certDir, tlsVerify, onRetry } = registryChoice(options);
  return { authFile, credentials: who, certDir, tlsVerify, onRetry, headers: Object.fromEntries(headers) };
}

function header(value: string): Header {
  const parsed = parseHeader(value);
  if (parsed === undefined) throw new InvalidArgumentError('Expected NAME:VALUE.');
  return parsed;
}
