// Programs that this one starts: what they say before they end, and their end.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../bytes.js';
import { LAST_WORDS_LIMIT } from '../limits.js';

/** Milliseconds a program that has been told to end may take. */
export const ENDING = 2000;
/** Of the last line; it is for people. */
const SHOWN = 500;

/** What a program says before it ends is why it does. */
export class LastWords {
  #text = Buffer.alloc(0);
  readonly #ended: Promise<unknown>;

  /** @param child started with a pipe as standard error */
  constructor({ stderr }: ChildProcess) {
    if (!stderr) throw new TypeError('standard error is no pipe');
    stderr.on('data', (piece: Buffer) => {
      this.#text = Buffer.from(Buffer.concat([this.#text, piece]).subarray(-LAST_WORDS_LIMIT));
    });
    this.#ended = once(stderr, 'close');
    // Whoever inherited it, and outlives the program, keeps nobody here.
    if ('unref' in stderr && typeof stderr.unref === 'function') stderr.unref();
  }

  /** The last line that is not empty, once the program has said all, or a moment later; undefined when there is none. */
  async heard(): Promise<string | undefined> {
    const stop = new AbortController();
    await Promise.race([this.#ended, pause(100, stop.signal)]);
    stop.abort();
    const lines = this.#text.toString('utf8').trim().split('\n');
    const last = printable(lines.at(-1)?.trim() ?? '');
    if (last === '') return undefined;
    return last.length > SHOWN ? `${last.slice(0, SHOWN)}…` : last;
  }
}

/** Ends a program. @param patience milliseconds in which it may end by itself */
export async function endChild(child: ChildProcess, patience = 0): Promise<void> {
  if (await endsWithin(child, patience)) return;
  child.kill('SIGTERM');
  if (await endsWithin(child, ENDING)) return;
  child.kill('SIGKILL');
  await endsWithin(child, ENDING);
}

/** Whether a program is gone, or goes within so many milliseconds. */
export async function endsWithin(child: ChildProcess, ms: number): Promise<boolean> {
  if (hasEnded(child)) return true;
  const stop = new AbortController();
  try {
    await Promise.race([once(child, 'exit', { signal: stop.signal }), pause(ms, stop.signal)]);
  } finally {
    stop.abort();
  }
  return hasEnded(child);
}

/** Whether a program is gone. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return typeof exitCode === 'number' || typeof signalCode === 'string';
}

/** A timer that went on would keep the process. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
