// zstd frames that have the raw content of a file as their dictionary, as `zstd --patch-from` makes them.
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { loadNative, type FdNumber } from '../native.js';

type Pages = { readonly of: 'pages' };
type Frame = { readonly of: 'frame' };
/** what libzstd wants (0: the frame is over), bytes written, bytes read */
type Stepped = [wanted: number, produced: number, consumed: number];

interface NativeZstd {
  zstdPages(size: number): Pages;
  zstdReadPages(pages: Pages, fd: FdNumber): Promise<void>;
  zstdCopyPages(pages: Pages, bytes: Uint8Array): void;
  zstdReleasePages(pages: Pages): void;
  zstdReadFrame(dictionary: Pages, windowLog: number): Frame;
  zstdStep(frame: Frame, input: Uint8Array, output: Uint8Array): Promise<Stepped>;
  zstdReleaseFrame(frame: Frame): void;
  zstdWindow(head: Uint8Array): number | undefined;
}

const native = loadNative<NativeZstd>();

const OUTPUT_SIZE = 256 * 1024;
/** The head of a frame has at most so many bytes. */
export const FRAME_HEAD_LENGTH = 18;

/**
 * The content of a file as dictionary, in memory until it is disposed. Bytes at its start that mark a trained
 * dictionary mean nothing here.
 */
export class ZstdDictionary implements Disposable {
  readonly #pages: Pages;
  #disposed = false;

  private constructor(pages: Pages) {
    this.#pages = pages;
  }

  static ofBytes(bytes: Uint8Array): ZstdDictionary {
    const pages = native.zstdPages(bytes.length);
    native.zstdCopyPages(pages, bytes);
    return new ZstdDictionary(pages);
  }

  /** @param size of the file, in bytes @throws an error with `code` when it is shorter, or cannot be read */
  static async ofFile(fd: Fd, size: number): Promise<ZstdDictionary> {
    const dictionary = new ZstdDictionary(native.zstdPages(size));
    try {
      await native.zstdReadPages(dictionary.#pages, fd.number);
      return dictionary;
    } catch (error) {
      dictionary[Symbol.dispose]();
      throw error;
    }
  }

  /** @param windowLog binary logarithm of the largest window that is accepted */
  reader(windowLog: number): ZstdFrameReader {
    return new ZstdFrameReader(native.zstdReadFrame(this.#pages, windowLog));
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) native.zstdReleasePages(this.#pages);
    this.#disposed = true;
  }
}

/**
 * How much memory a frame's window takes, in bytes.
 * @param head its first `FRAME_HEAD_LENGTH` bytes, or all that there are
 * @returns undefined when they are too few
 * @throws FormatError `COMPRESSION` when it is no frame
 */
export function frameWindow(head: Uint8Array): number | undefined {
  try {
    return native.zstdWindow(head);
  } catch (error) {
    throw explained(error);
  }
}

/** Decompresses one frame, away from this thread. What comes after it is passed over. */
class ZstdFrameReader implements Disposable {
  readonly #frame: Frame;
  #ended = false;
  #disposed = false;

  constructor(frame: Frame) {
    this.#frame = frame;
  }

  /** Whether all of the frame has come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The blocks are the caller's. @throws FormatError `COMPRESSION` for what is no frame with this dictionary */
  async *read(input: Uint8Array): AsyncGenerator<Buffer, void, void> {
    for (let rest = input; !this.#ended; ) {
      const output = Buffer.allocUnsafeSlow(OUTPUT_SIZE);
      const [wanted, produced, consumed] = await step(this.#frame, rest, output);
      rest = rest.subarray(consumed);
      this.#ended = wanted === 0;
      if (produced > 0) yield output.subarray(0, produced);
      if (rest.length === 0 && produced < output.length) return;
    }
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) native.zstdReleaseFrame(this.#frame);
    this.#disposed = true;
  }
}

async function step(frame: Frame, input: Uint8Array, output: Uint8Array): Promise<Stepped> {
  try {
    return await native.zstdStep(frame, input, output);
  } catch (error) {
    throw explained(error);
  }
}

function explained(error: unknown): unknown {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'COMPRESSION') return error;
  return new FormatError('COMPRESSION', `zstd data is damaged: ${error.message}`, { cause: error });
}
