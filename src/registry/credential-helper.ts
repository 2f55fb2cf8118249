import { execFile } from 'node:child_process';
import * as z from 'zod';
import { printable } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { CREDENTIAL_LIMIT } from '../limits.js';
import type { Credentials } from './credentials.js';

const NOT_FOUND = 'credentials not found in native keychain';
/** As this user name the secret is an identity token. */
const IDENTITY = '<token>';

const answerSchema = z.object({ Username: z.string(), Secret: z.string() });

/**
 * Asks the program `docker-credential-NAME` for the credentials of a server.
 * @returns undefined when it has none
 * @throws BridgeError `CREDENTIAL_HELPER`, without anything of what the program knows
 */
export async function askHelper(
  name: string,
  server: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  // The name comes from a configuration file and must not be a path.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
    throw new BridgeError('CREDENTIAL_HELPER', `"${name}" cannot be the name of a credential helper`);
  const program = `docker-credential-${name}`;
  const { failure, stdout } = await run(program, server, env, signal);
  signal?.throwIfAborted();
  if (failure !== undefined) {
    const exited = 'code' in failure && typeof failure.code === 'number';
    if (exited && stdout.includes(NOT_FOUND)) return undefined;
    if ('code' in failure && failure.code === 'ENOENT')
      throw problem(program, 'is not there; install it, or take it out of the file that names it');
    // Of one that ended well, or did not end, the output may be a secret.
    throw problem(
      program,
      `failed for ${server}${exited ? `: ${printable(stdout.trim().slice(0, 200)) || 'it says nothing'}` : ''}`,
    );
  }
  const { Username: username, Secret: secret } = parseAnswer(stdout, program);
  if (username === '' && secret === '') return undefined;
  return username === IDENTITY ? { kind: 'identity', token: secret } : { kind: 'basic', username, password: secret };
}

function run(
  program: string,
  server: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<{ failure: Error | undefined; stdout: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      ['get'],
      { env, maxBuffer: CREDENTIAL_LIMIT, ...(signal && { signal }) },
      (failure, stdout) => resolve({ failure: failure ?? undefined, stdout }),
    );
    // A helper that does not read its input closes the pipe.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(server);
  });
}

function parseAnswer(text: string, program: string): z.output<typeof answerSchema> {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch {
    // What went wrong quotes the answer, and that is a secret.
    throw problem(program, 'answered with something that is not its protocol');
  }
}

function problem(program: string, what: string): BridgeError {
  return new BridgeError('CREDENTIAL_HELPER', `the credential helper ${program} ${what}`);
}
