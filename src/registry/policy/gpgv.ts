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
  signal?.throwIfAborted();
  const home = mkdtempSync(join(tmpdir(), 'cfsbridge-gpgv-'));
  try {
    const file = join(home, 'keys.gpg');
    writeFileSync(file, keyring, { mode: 0o600 });
    const { ended, text, verdict } = await run(home, file, message, env['PATH'] || USUAL_PATH, signal);
    return ended && isOneGoodSignature(verdict) ? text : undefined;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * A message may hold several texts and signatures: one of them being right says nothing about the text that comes out.
 * What has expired or was revoked is reported, and gpgv may end with 0 all the same.
 */
function isOneGoodSignature(verdict: string): boolean {
  const words = [...verdict.matchAll(/^\[GNUPG:\] (\w+)/gm)].map(([, word]) => word as string);
  const count = (wanted: string): number => words.filter((word) => word === wanted).length;
  return (
    words.filter((word) => VERDICTS.has(word)).join() === 'GOODSIG' &&
    count('NEWSIG') === 1 &&
    count('VALIDSIG') === 1 &&
    count('PLAINTEXT') === 1
  );
}

function run(
  home: string,
  keyring: string,
  message: Buffer,
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ ended: boolean; text: Buffer; verdict: string }> {
  return new Promise((resolve, reject) => {
    const options = ['--homedir', home, '--keyring', keyring, '--status-fd', '3', '--output', '-'];
    const child = spawn('gpgv', [...options, '-'], {
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
                ? 'the policy demands "signedBy", which takes the program gpgv to verify: install gpgv'
                : `the policy demands "signedBy", and gpgv cannot be run: ${cause.message}`,
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
