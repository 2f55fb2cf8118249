// How an image proxy is started: options of ours in skopeo's words.
import { writeSync } from 'node:fs';
import { BridgeError } from '../../../errors.js';
import { Fd } from '../../../fd/fd.js';
import { files } from '../../../native.js';
import type { Credentials } from '../../../registry/credentials.js';
import type { Platform } from '../../../spec/platform.js';
import { parseRegistryReference } from '../../../spec/reference.js';
import type { RegistryImageOptions } from '../registry.js';

/** What is handed on to the proxy: who to be, what to believe. */
export type ProxyAccess = Pick<
  RegistryImageOptions,
  'authFile' | 'credentials' | 'certDir' | 'tlsVerify' | 'registriesConf' | 'registriesDir' | 'policy' | 'requireSigned'
>;

export interface ProxyCommand {
  argv: readonly [program: string, ...string[]];
  /** What the process inherits as descriptors from 3 on; the caller owns them. */
  inherited: Fd[];
}

const SUBCOMMAND = 'experimental-image-proxy';
/** The first descriptor after those of every process. */
const FIRST_INHERITED = 3;

/**
 * @param command what to start, without the name of the subcommand
 * @param reference as the proxy gets it
 * @throws BridgeError `UNSUPPORTED`; FormatError `BAD_REFERENCE`
 */
export function proxyCommand(
  command: readonly string[],
  reference: string,
  platform: Platform | undefined,
  access: ProxyAccess,
): ProxyCommand {
  const [program, ...words] = command;
  if (program === undefined || program === '') throw new RangeError('the command of an image proxy is empty');
  const secret = authFile(reference, access.credentials);
  const authfile = secret === undefined ? access.authFile : `/proc/self/fd/${FIRST_INHERITED}`;
  return {
    argv: [
      program,
      ...words,
      ...policyOf(access.policy),
      ...(access.requireSigned ? ['--require-signed'] : []),
      ...option('--registries.d', access.registriesDir),
      ...option('--registries-conf', access.registriesConf),
      ...option('--override-os', platform?.os),
      ...option('--override-arch', platform?.architecture),
      ...option('--override-variant', platform?.variant),
      SUBCOMMAND,
      ...(access.credentials === 'nobody' ? ['--no-creds'] : option('--authfile', authfile)),
      ...option('--cert-dir', access.certDir),
      ...(access.tlsVerify === undefined ? [] : [`--tls-verify=${access.tlsVerify}`]),
    ],
    inherited: secret === undefined ? [] : [secret],
  };
}

function option(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

function policyOf(policy: ProxyAccess['policy']): string[] {
  if (policy === undefined) return [];
  if (policy === 'any') return ['--insecure-policy'];
  if ('default' in policy)
    throw new BridgeError('UNSUPPORTED', 'an image proxy takes a policy as the path of a file only');
  return ['--policy', policy.file];
}

/** Credentials as a file in memory, which only the process that inherits it can read: others see arguments. */
function authFile(reference: string, credentials: ProxyAccess['credentials']): Fd | undefined {
  if (credentials === undefined || credentials === 'nobody') return undefined;
  const { host } = parseRegistryReference(reference.slice(reference.indexOf(':') + 1));
  const file = new Fd(files.memfd('credentials'));
  try {
    writeSync(file.number, JSON.stringify({ auths: { [host]: authEntry(credentials) } }), 0);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

function authEntry(credentials: Credentials): object {
  if (credentials.kind === 'identity') return { identitytoken: credentials.token };
  if (credentials.kind === 'token')
    throw new BridgeError('UNSUPPORTED', 'a token is not handed on to an image proxy; use a user and a password');
  return { auth: Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64') };
}
