import { InvalidArgumentError, Option, type Command } from 'commander';
import { describeRetry } from '../http/retry.js';
import type { OpenSourceOptions } from '../oci/source/transports.js';
import type { PolicyChoice } from '../registry/policy/policy.js';
import { transportList } from '../oci/source/open.js';
import type { Credentials } from '../registry/credentials.js';
import { UsageError } from './errors.js';
import { words } from './option-values.js';
import { talk } from './talk.js';

/** The options about registries, as skopeo calls them. */
export interface RegistryCommandOptions {
  authfile?: string;
  /** false: `--no-creds` */
  creds?: Credentials | false;
  certDir?: string;
  tlsVerify?: boolean;
  registriesConf?: string;
}

export interface PolicyCommandOptions {
  policy?: string;
  insecurePolicy?: true;
  'registries.d'?: string;
}

const FLAGS: Readonly<Record<keyof RegistryCommandOptions | 'registries.d' | 'maxPartial', string>> = {
  authfile: '--authfile',
  creds: '--creds',
  certDir: '--cert-dir',
  tlsVerify: '--tls-verify',
  registriesConf: '--registries-conf',
  'registries.d': '--registries.d',
  maxPartial: '--max-partial',
};

/** Adds what says where registries are and who to be there. */
export function registryOptions(command: Command): Command {
  return command
    .option(
      '--authfile <file>',
      'For registries: the only file to look for passwords in; default: those of podman and docker',
    )
    .addOption(new Option('--creds <user:password>', 'For registries: the credentials to use').argParser(credentials))
    .option('--no-creds', 'For registries: send no credentials, even if there are any')
    .option('--cert-dir <dir>', 'For registries: certificates, instead of those in certs.d')
    .addOption(
      new Option(
        '--tls-verify <bool>',
        'For registries: false accepts HTTP and any certificate; true accepts neither, whatever registries.conf says',
      ).argParser(boolean),
    )
    .option('--registries-conf <file>', 'For registries: read this instead of registries.conf and its drop-ins');
}

export interface ProxyCommandOptions {
  proxy?: true;
  proxyCommand?: readonly string[];
}

/** Adds what has somebody else open the image. */
export function proxyOptions(command: Command): Command {
  return command
    .option('--proxy', "Have skopeo's image proxy open the image; options about registries are handed on to it")
    .addOption(
      new Option(
        '--proxy-command <command>',
        'The same with this program, or one with arguments such as "podman unshare skopeo"',
      ).argParser(words),
    );
}

/** Whether an image proxy is asked for. */
export function wantsProxy({ proxy, proxyCommand }: ProxyCommandOptions): boolean {
  return proxy === true || proxyCommand !== undefined;
}

/** Adds what says which images may come in. */
export function policyOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--policy <file>',
        'Read this instead of policy.json, which says which images may come in and who has to sign them',
      ).conflicts('insecurePolicy'),
    )
    .option('--insecure-policy', 'Accept any image, whatever policy.json says')
    .option('--registries.d <dir>', 'For registries: read where signatures are kept here, instead of in registries.d');
}

/** @throws UsageError when options about registries are given where none is asked */
export function checkNoRegistryOptions(options: object): void {
  const given = registryFlagIn(options);
  if (given !== undefined)
    throw new UsageError(
      `option '${given}' is about registries; it needs an image with ${transportList(true).join(' or ')}`,
    );
}

/** @throws UsageError when options about the policy are given where none decides; `why` not */
export function checkNoPolicyOptions(options: PolicyCommandOptions, why: string): void {
  const given = policyFlagIn(options);
  if (given !== undefined) throw new UsageError(`option '${given}' has no meaning here: ${why}`);
}

/** The first option about registries that was given. */
export function registryFlagIn(options: object): string | undefined {
  const values = options as Record<string, unknown>;
  if (values['creds'] === false) return '--no-creds';
  return Object.entries(FLAGS).find(([name]) => values[name] !== undefined)?.[1];
}

/** The first option about the policy that was given. */
export function policyFlagIn({ policy, insecurePolicy }: PolicyCommandOptions): string | undefined {
  return policy !== undefined ? '--policy' : insecurePolicy ? '--insecure-policy' : undefined;
}

/** Which policy the options mean. */
export function policyChoice({ policy, insecurePolicy }: PolicyCommandOptions): PolicyChoice['policy'] {
  return insecurePolicy ? 'any' : policy === undefined ? undefined : { file: policy };
}

/** What the options mean, and what is said while registries answer. */
export function registryChoice(
  options: RegistryCommandOptions & PolicyCommandOptions,
  say: (line: string) => void = (line) => talk(`${line}\n`),
): NonNullable<OpenSourceOptions['registry']> {
  const { authfile, creds, certDir, tlsVerify, registriesConf } = options;
  return {
    authFile: authfile,
    credentials: creds === false ? 'nobody' : creds,
    certDir,
    tlsVerify,
    registriesConf,
    registriesDir: options['registries.d'],
    onWarning: say,
    onRetry: (retry) => say(describeRetry(retry)),
  };
}

export function credentials(value: string): Credentials {
  const colon = value.indexOf(':');
  const username = colon < 0 ? value : value.slice(0, colon);
  if (username === '') throw new InvalidArgumentError('Expected USER:PASSWORD.');
  return { kind: 'basic', username, password: colon < 0 ? '' : value.slice(colon + 1) };
}

export function boolean(value: string): boolean {
  if (value !== 'true' && value !== 'false') throw new InvalidArgumentError('Expected true or false.');
  return value === 'true';
}
