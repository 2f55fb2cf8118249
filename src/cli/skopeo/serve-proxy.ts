import { accessSync, constants } from 'node:fs';
import { Fd } from '../../fd/fd.js';
import { parseCredentials, type Credentials } from '../../registry/credentials.js';
import type { ImageProxyOptions } from '../../service/proxy/proxy-options.js';
import { serveImageProxy } from '../../service/proxy/serve.js';
import { hostPlatform } from '../../spec/platform.js';
import { VERSION } from '../../version.js';
import { CommandFailure } from '../command-failure.js';
import { talk } from '../talk.js';
import type { SkopeoOptions } from './options.js';

const MILLISECONDS = 1000;

/** Serves the client at the other end of a socket that this process was started with. */
export async function serveProxy(options: SkopeoOptions): Promise<void> {
  if (options.tmpdir !== undefined) process.env['TMPDIR'] = options.tmpdir;
  if (options['daemon-host'] !== undefined) process.env['DOCKER_HOST'] = options['daemon-host'];
  if (options['tls-details'] !== undefined)
    throw new CommandFailure('--tls-details: which ciphers and versions of TLS there may be cannot be chosen here');
  await serveImageProxy(new Fd(options.sockfd ?? 0), proxyOptions(options));
}

function proxyOptions(options: SkopeoOptions): ImageProxyOptions {
  const prefix = options['user-agent-prefix'];
  const idleLimit = options['idle-limit'];
  const { authfile } = options;
  return {
    platform: {
      ...hostPlatform(),
      ...(options['override-arch'] !== undefined && { architecture: options['override-arch'] }),
      ...(options['override-os'] !== undefined && { os: options['override-os'] }),
      ...(options['override-variant'] !== undefined && { variant: options['override-variant'] }),
    },
    idleLimit: idleLimit === undefined ? undefined : idleLimit * MILLISECONDS,
    sharedBlobDir: options['shared-blob-dir'],
    check: () => {
      if (authfile !== undefined) accessSync(authfile, constants.R_OK);
    },
    policy:
      options['insecure-policy'] === true ? 'any' : options.policy === undefined ? undefined : { file: options.policy },
    requireSigned: options['require-signed'],
    registry: {
      agent: prefix === undefined ? undefined : `${prefix} cfsbridge/${VERSION}`,
      authFile: authfile,
      credentials: credentialsOf(options),
      certDir: options['cert-dir'],
      tlsVerify: options['tls-verify'],
      registriesConf: options['registries-conf'],
      registriesDir: options['registries.d'],
      onWarning: (text) => talk(`${text}\n`),
    },
  };
}

function credentialsOf(options: SkopeoOptions): Credentials | 'nobody' | undefined {
  const { creds, username, password } = options;
  const token = options['registry-token'];
  if (options['no-creds'] === true) {
    if (creds !== undefined || username !== undefined)
      throw new CommandFailure('creds and no-creds cannot be specified at the same time');
    return 'nobody';
  }
  if (token !== undefined) return { kind: 'token', token };
  if (creds !== undefined) {
    if (username !== undefined)
      throw new CommandFailure('creds and username/password cannot be specified at the same time');
    return parseCredentials(creds);
  }
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined) throw new CommandFailure('password must be accompanied by username');
  return { kind: 'basic', username, password: password ?? '' };
}
