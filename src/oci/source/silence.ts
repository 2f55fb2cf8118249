import { BridgeError } from '../../errors.js';
import { leaveAlone } from '../../fd/left-alone.js';
import type { ByteSource } from '../../fd/byte-source.js';

/** How long a server may be silent where it has something to say, in milliseconds. */
export const SILENCE_LIMIT = 60_000;

/** The same bytes; a pause of more than `limit` milliseconds, or the signal, ends them with an error. */
export function withSilenceLimit(source: ByteSource, limit: number, signal: AbortSignal): ByteSource {
  let silent = false;
  return {
    async *[Symbol.asyncIterator]() {
      const pieces = source[Symbol.asyncIterator]();
      for (;;) {
        const piece = await orSilence(pieces.next(), limit, signal).catch((error: unknown) => {
          silent = !signal.aborted;
          throw error;
        });
        if (piece.done) return;
        yield piece.value;
      }
    },
    async [Symbol.asyncDispose]() {
      const disposed = source[Symbol.asyncDispose]();
      // A read that nobody answers may last forever, and its descriptor with it.
      if (silent) leaveAlone(disposed);
      else await disposed;
    },
  };
}

/** What is due next in a layer. @throws BridgeError `PEER_SILENT`; the signal's reason */
export async function orSilence<T>(next: Promise<T>, limit: number, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const silence = new Promise<never>((_, reject) => {
    const timer = setTimeout(
      () => reject(new BridgeError('PEER_SILENT', `nothing came for ${limit / 1000} s in the middle of a layer`)),
      limit,
    );
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    stop();
  }
}
