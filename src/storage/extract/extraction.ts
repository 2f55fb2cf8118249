// The addon's end of unpacking: see native/extract/extraction.h.
import { showBytes, type ByteString } from '../../bytes.js';
import { CancelFlag } from '../../cancel-flag.js';
import type { NativeErrorCode, NativeLayerErrorCode, SystemErrorCode } from '../../error-codes.js';
import { BridgeError, FormatError, type Place } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { Batch } from '../../layer/batch.js';
import { CONTENT_WAY } from '../../layouts.js';
import { loadNative, type FdNumber } from '../../native.js';

interface NativeExtraction {
  openExtraction(folder: FdNumber, zeroCopy: boolean, userNamespace: boolean, flag: Uint8Array): object;
  addToExtraction(extraction: object, operations: Buffer): void;
  takeExtracted(extraction: object): Promise<Buffer>;
  finishExtraction(extraction: object): Promise<{ digest: Buffer; ways: readonly (readonly [number, number])[] }>;
  stopExtraction(extraction: object): Promise<void>;
  closeExtraction(extraction: object): void;
}

type Way = readonly [files: number, bytes: number];

const native = loadNative<NativeExtraction>();

/** What happened to the content of a layer's files. */
export interface ContentCounts {
  /** files that share their content with the source */
  cloned: number;
  clonedBytes: number;
  /** files that were copied out of one of the source */
  copied: number;
  copiedBytes: number;
  /** files whose content came in the stream itself */
  inline: number;
  inlineBytes: number;
}

export interface ExtractionSettings {
  /** content of files that are not in the stream is cloned, or unpacking fails with `ZERO_COPY` */
  zeroCopy: boolean;
  /** xattrs that only root of the machine can set are left out */
  userNamespace: boolean;
}

/**
 * Puts the entries of one layer in a folder, and hashes its tar. While a batch is hashed the files of the next one get
 * their content, and the one after it is put in place. Dispose it when it is not needed any more, also after a failure.
 */
export class Extraction implements AsyncDisposable {
  readonly #extraction: object;
  readonly #flag: CancelFlag;
  #taken: Promise<unknown> = Promise.resolve();

  /** @param folder empty, and open as long as this is */
  constructor(folder: Fd, { zeroCopy, userNamespace }: ExtractionSettings, signal?: AbortSignal) {
    this.#flag = new CancelFlag(signal);
    try {
      this.#extraction = native.openExtraction(folder.number, zeroCopy, userNamespace, this.#flag.byte);
    } catch (error) {
      this.#flag[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Takes a batch, which can be filled anew at once. What it returns need not be waited for before the next call.
   * @returns its text
   * @throws FormatError with a code of the layer, BridgeError, with the entry's place. After the first failure every
   *   later batch fails, too
   */
  async submit(batch: Batch): Promise<Buffer> {
    native.addToExtraction(this.#extraction, batch.take());
    const taken = this.#taken.then(async () => await native.takeExtracted(this.#extraction));
    this.#taken = taken;
    try {
      return await taken;
    } catch (error) {
      throw placedError(error);
    }
  }

  /**
   * Ends the layer, after all batches.
   * @returns SHA-256 of its tar, in lower-case hex, and how its files got their content
   */
  async finish(): Promise<{ sha256: string; counts: ContentCounts }> {
    try {
      const { digest, ways } = await native.finishExtraction(this.#extraction);
      const [[cloned, clonedBytes], [copied, copiedBytes], [inline, inlineBytes]] = [
        CONTENT_WAY.cloned,
        CONTENT_WAY.copied,
        CONTENT_WAY.inline,
      ].map((way) => ways[way]) as [Way, Way, Way];
      return {
        sha256: digest.toString('hex'),
        counts: { cloned, clonedBytes, copied, copiedBytes, inline, inlineBytes },
      };
    } catch (error) {
      throw placedError(error);
    }
  }

  /** Ends what is under way, and closes all descriptors. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#flag.set();
    const stop = async (): Promise<void> => await native.stopExtraction(this.#extraction);
    await Promise.allSettled([stop(), this.#taken]);
    this.#flag[Symbol.dispose]();
    native.closeExtraction(this.#extraction);
  }
}

function placedError(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const place: Place = {};
  if ('entry' in error) place.entry = showBytes(error.entry as ByteString);
  if ('offset' in error) place.offset = error.offset as number;
  const code = String(error.code);
  if (code.startsWith('LAYER_'))
    return new FormatError(code as NativeLayerErrorCode, error.message, { cause: error, place });
  return new BridgeError(code as NativeErrorCode | SystemErrorCode, error.message, { cause: error, place });
}
