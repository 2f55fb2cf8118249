// The program gpgv, which knows only the keys that it is given.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import { STATEMENT_LIMIT } from '../../limits.js';

const USUAL_PATH = '/usr/local/bin:/usr/bin:/bin';
/** It works on some kilobytes. */
const RUN_MS = 30_000;
/** Verdicts on a signature; all but the first one say no. */
const VERDICTS = new Set(['GOODSIG', 'EXPSIG', 'EXPKEYSIG', 'REVKEYSIG', 'BADSIG', 'ERRSIG']);

/**
 * Verifies a signed message of OpenPGP.
 * @param message with its text in it
 * @param keyring all keys that may have signed, without armor
 * @returns the text that was signed; undefined when it is not signed by one of these keys, or by several, or the key
 *   has expired
 * @throws BridgeError `POLICY` when there is no gpgv
 */
export async function signedText(
  message: Buffer,
  keyring: Buffer,
  { env = process.env, signal }: { env?: NodeJS.ProcessEnv | undefined } & Abortable,
): Promise<Buffer | undefined> {
  const why = 'the policy demands "signedBy"';
  const { ended, text, verdict } = await verdictOn(
    message,
    { keys: keyring },
    ['--output', '-', '-'],
    why,
    env,
    signal,
  );
  return ended && isOneGoodSignature(verdict) && count(verdict, 'PLAINTEXT') === 1 ? text : undefined;
}

/**
 * Verifies bytes with a signature of OpenPGP that is kept beside them.
 * @param keyring all keys that may have signed, without armor
 * @returns false when it is not of one of these keys, or there are several, or the key has expired
 * @throws BridgeError `POLICY` when there is no gpgv
 */
export async function isSignedBy(
  bytes: Buffer,
  signature: Buffer,
  keyring: Buffer,
  { env = process.env, signal }: { env?: NodeJS.ProcessEnv | undefined } & Abortable,
): Promise<boolean> {
  const files = { keys: keyring, signature };
  const why = 'OpenPGP signatures are to be verified';
  const { ended, verdict } = await verdictOn(bytes, files, ['SIGNATURE', '-'], why, env, signal);
  return ended && isOneGoodSignature(verdict);
}

interface Run {
  ended: boolean;
  text: Buffer;
  verdict: string;
}

/** @param last the arguments after the options; SIGNATURE stands for the file with it */
async function verdictOn(
  input: Buffer,
  { keys, signature }: { keys: Buffer; signature?: Buffer },
  last: readonly string[],
  why: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<Run> {
  signal?.throwIfAborted();
  const home = mkdtempSync(join(tmpdir(), 'cfsbridge-gpgv-'));
  try {
    const file = join(home, 'keys.gpg');
    writeFileSync(file, keys, { mode: 0o600 });
    const beside = join(home, 'signature');
    if (signature !== undefined) writeFileSync(beside, signature, { mode: 0o600 });
    const options = ['--homedir', home, '--keyring', file, '--status-fd', '3'];
    const words = last.map((word) => (word === 'SIGNATURE' ? beside : word));
    return await run([...options, ...words], input, why, env['PATH'] || USUAL_PATH, signal);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * A message may hold several texts and signatures: one of them being right says nothing about the text that comes out.
 * What has expired or was revoked is reported, and gpgv may end with 0 all the same.
 */
function isOneGoodSignature(verdict: string): boolean {
  return (
    wordsOf(verdict)
      .filter((word) => VERDICTS.has(word))
      .join() === 'GOODSIG' &&
    count(verdict, 'NEWSIG') === 1 &&
    count(verdict, 'VALIDSIG') === 1
  );
}

function count(verdict: string, wanted: string): number {
  return wordsOf(verdict).filter((word) => word === wanted).length;
}

function wordsOf(verdict: string): string[] {
  return [...verdict.matchAll(/^\[GNUPG:\] (\w+)/gm)].map(([, word]) => word as string);
}

function run(
  arguments_: readonly string[],
  message: Buffer,
  why: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn('gpgv', arguments_, {
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'ignore', 'pipe'],
      timeout: RUN_MS,
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    });
    const tooMuch = (): void => void child.kill('SIGKILL');
    const text = collect(child.stdout as Readable, tooMuch);
    const verdict = collect(child.stdio[3] as Readable, tooMuch);
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        signal?.aborted
          ? (signal.reason as Error)
          : new BridgeError(
              'POLICY',
              cause.code === 'ENOENT'
                ? `${why}, which takes the program gpgv to verify: install gpgv`
                : `${why}, and gpgv cannot be run: ${cause.message}`,
              { cause },
            ),
      ),
    );
    child.once('close', (status) =>
      resolve({ ended: status === 0, text: Buffer.concat(text), verdict: Buffer.concat(verdict).toString('latin1') }),
    );
    // One that ends early does not read all.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(message);
  });
}

/** What is compressed may be of any length. */
function collect(stream: Readable, tooMuch: () => void): Buffer[] {
  const pieces: Buffer[] = [];
  let length = 0;
  stream.on('error', () => undefined);
  stream.on('data', (piece: Buffer) => {
    length += piece.length;
    if (length > STATEMENT_LIMIT) tooMuch();
    else pieces.push(piece);
  });
  return pieces;
}
