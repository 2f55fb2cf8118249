import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseHeader, type Header } from '../../ostree/http/header.js';
import type { RemoteOptions } from '../../ostree/http/remote.js';
import { boolean, credentials, registryChoice } from '../registry-options.js';
import type { Credentials } from '../../registry/credentials.js';

export interface RemoteCommandOptions {
  authfile?: string;
  /** false: `--no-creds` */
  creds?: Credentials | false;
  certDir?: string;
  tlsVerify?: boolean;
  header: readonly Header[];
}

/** Adds what says who to be at a server, and whom to believe. */
export function remoteOptions(command: Command): Command {
  return command
    .option('--authfile <file>', 'The only file to look for passwords in; default: those of podman and docker')
    .addOption(new Option('--creds <user:password>', 'The credentials to use').argParser(credentials))
    .option('--no-creds', 'Send no credentials, even if there are any')
    .option('--cert-dir <dir>', 'Certificates of authorities and of this client, instead of those in certs.d')
    .addOption(new Option('--tls-verify <bool>', 'false accepts any certificate').argParser(boolean))
    .option(
      '--header <name:value>',
      'Send this to the server of the URL with each request; repeatable',
      (value: string, before: readonly Header[]) => [...before, header(value)],
      [],
    );
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
