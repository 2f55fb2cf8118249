import { BridgeError } from '../../errors.js';
import type { ByteSource } from '../../layer/byte-source.js';

/** How long a server may be silent where it has something to say, in milliseconds. */
export const SILENCE_LIMIT = 60_000;

/** The same bytes; a pause of more than `limit` milliseconds, or the signal, ends them with an error. */
export function withSilenceLimit(source: ByteSource, limit: number, signal: AbortSignal): ByteSource {
  return {
    async *[Symbol.asyncIterator]() {
      const pieces = source[Symbol.asyncIterator]();
      for (;;) {
        const piece = await orSilence(pieces.next(), limit, signal);
        if (piece.done) return;
        yield piece.value;
      }
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function orSilence<T>(next: Promise<T>, limit: number, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const silence = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new BridgeError('PEER_SILENT', `nothing came for ${limit / 1000} s in the middle of a layer`)), limit);
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
