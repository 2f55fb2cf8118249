import { spawn } from 'node:child_process';
import { accessSync, constants, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { VERSION } from '../../version.js';
import { argumentProblem } from '../arguments.js';
import { CommandFailure } from '../command-failure.js';
import { describeError } from '../errors.js';
import { talk } from '../talk.js';
import { commandAmong, isProxyCommand, parseSkopeoOptions, type SkopeoOptions } from './options.js';

/** The skopeo whose proxy this one is like. */
const SKOPEO_VERSION = '1.22.0';

const HELP = `Serves container images to programs that start skopeo for it

Usage:
  skopeo [options] experimental-image-proxy [options]

Every other command is handed on to the next skopeo in PATH.

Options, before or after the command:
      --command-timeout duration   taken, and without effect, as in skopeo
      --debug                      say on standard error what is done
      --insecure-policy            accept any image, whatever policy.json says
      --override-arch ARCH         take images for ARCH instead of this machine's
      --override-os OS             take images for OS instead of linux
      --override-variant VARIANT   take images for VARIANT of the architecture
      --policy file                read this instead of policy.json
      --registries-conf file       read this instead of registries.conf
      --registries.d DIR           read where signatures are from here instead of registries.d
      --require-signed             take only images that the policy demands signatures of
      --tmpdir DIR                 where large temporary files go
      --user-agent-prefix prefix   what registries are told before this program's own name
  -h, --help
  -v, --version

Options of experimental-image-proxy:
      --authfile file              the only file to look for passwords in
      --cert-dir DIR               certificates, instead of those in certs.d
      --creds USER[:PASSWORD]      credentials for the registry; also --username and --password
      --daemon-host HOST           where docker's daemon is
      --idle-limit SECONDS         give a blob up after so long without a byte; 0: never (default 60)
      --no-creds                   send no credentials
      --registry-token TOKEN       the token to send to the registry
      --shared-blob-dir DIR        where the blobs of oci: layouts are
      --sockfd N                   the client's socket (default 0, standard input)
      --tls-verify                 false accepts HTTP and any certificate
`;

/**
 * skopeo's image proxy, by skopeo's command line.
 * @param args without the program's name
 * @returns the exit status: 0 done, 1 anything else; or that of the skopeo that was called
 */
export async function skopeo(args: readonly string[]): Promise<number> {
  try {
    const problem = argumentProblem();
    if (problem !== undefined) throw new CommandFailure(problem);
    const command = commandAmong(args);
    if (command !== undefined && !isProxyCommand(command)) return await nextSkopeo(args);
    const { options } = parseSkopeoOptions(args);
    if (options.help === true || (command === undefined && options.version !== true)) {
      process.stdout.write(HELP);
      return 0;
    }
    if (options.version === true) {
      process.stdout.write(`skopeo version ${SKOPEO_VERSION} (cfsbridge ${VERSION})\n`);
      return 0;
    }
    await serve(options);
    return 0;
  } catch (error) {
    talk(`${describeError(error)}\n`);
    return 1;
  }
}

async function serve(options: SkopeoOptions): Promise<void> {
  if (options.debug === true)
    process.env['NODE_DEBUG'] = [process.env['NODE_DEBUG'], 'cfsbridge'].filter(Boolean).join();
  const { serveProxy } = await import('./serve-proxy.js');
  await serveProxy(options);
}

/** Has the real skopeo do it, as if it had been called. */
async function nextSkopeo(args: readonly string[]): Promise<number> {
  const own = realpathSync(process.argv[1] as string);
  const path = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder || '.', 'skopeo'));
  const next = path.find((candidate) => isProgram(candidate) && realpathSync(candidate) !== own);
  if (next === undefined)
    throw new CommandFailure(
      `unknown command ${JSON.stringify(commandAmong(args))} for "skopeo": cfsbridge has only ` +
        'experimental-image-proxy, and there is no other skopeo in PATH',
    );
  const child = spawn(next, args, { stdio: 'inherit' });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, forward);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (!signal) return resolve(code ?? 1);
      // As whoever waits for it would see it without this program between them.
      for (const one of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.removeAllListeners(one);
      process.kill(process.pid, signal);
    });
  });
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
