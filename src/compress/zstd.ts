// zstd with bounded memory, in the exact form the reference writes: level 3, streaming, no checksum, no content size.
import binding from 'zstd-napi/binding.js';
import { FormatError } from '../errors.js';
import { ZSTD_WINDOW_LOG_LIMIT } from '../limits.js';

const LEVEL = 3;
const OUTPUT_SIZE = binding.cStreamOutSize();
const EMPTY = Buffer.alloc(0);

/**
 * One zstd frame, compressed piece by piece. The bytes depend only on what was written, not on how it was cut,
 * and equal those of any other libzstd 1.5.7 in streaming mode.
 */
export class ZstdWriter {
  readonly #context = new binding.CCtx();
  readonly #output: Buffer[] = [];
  #length = 0;
  #buffer = Buffer.allocUnsafe(OUTPUT_SIZE);
  readonly #limit: number;

  /** @param limit most bytes of the compressed frame */
  constructor(limit: number) {
    this.#limit = limit;
    this.#context.setParameter(binding.CParameter.compressionLevel, LEVEL);
  }

  /** Compresses `bytes`, which may be reused afterwards. Takes about a millisecond for 300 KiB. */
  write(bytes: Uint8Array): void {
    // A frame whose first call already ends it would carry its content size; nothing at all is such a frame.
    if (bytes.length > 0) this.#run(bytes, binding.EndDirective.continue);
  }

  /** Ends the frame and returns all of it. */
  finish(): Buffer {
    this.#run(EMPTY, binding.EndDirective.end);
    return Buffer.concat(this.#output, this.#length);
  }

  #run(bytes: Uint8Array, directive: binding.EndDirective): void {
    for (let rest = bytes; ; ) {
      const [left, produced, consumed] = this.#context.compressStream2(this.#buffer, rest, directive);
      if (produced > 0) this.#keep(produced);
      rest = rest.subarray(consumed);
      if (rest.length === 0 && (directive === binding.EndDirective.continue || left === 0)) return;
    }
  }

  #keep(produced: number): void {
    this.#length += produced;
    if (this.#length > this.#limit)
      throw new FormatError(
        'SPLITSTREAM_LIMIT',
        `a compressed part of a splitstream is longer than ${this.#limit} bytes; split the layer`,
      );
    // Small output is copied, so that a nearly empty block does not stay allocated for it.
    if (produced < OUTPUT_SIZE / 2) {
      this.#output.push(Buffer.from(this.#buffer.subarray(0, produced)));
    } else {
      this.#output.push(this.#buffer.subarray(0, produced));
      this.#buffer = Buffer.allocUnsafe(OUTPUT_SIZE);
    }
  }
}

const newBlock = (): Buffer => Buffer.allocUnsafe(binding.dStreamOutSize());

/** Decompresses one or more frames, piece by piece as their bytes come. */
export class ZstdReader {
  readonly #context = new binding.DCtx();
  #inFrame = false;

  constructor() {
    this.#context.setParameter(binding.DParameter.windowLogMax, ZSTD_WINDOW_LOG_LIMIT);
  }

  /**
   * The decompressed bytes of `input`, in blocks of at most 128 KiB.
   * @param empty gives the memory for a block, which is the caller's
   * @throws FormatError for bytes that are not zstd
   */
  *read(input: Uint8Array, empty: () => Buffer = newBlock): Generator<Buffer> {
    for (let rest = input; ; ) {
      const block = empty();
      const [left, produced, consumed] = this.#step(block, rest);
      rest = rest.subarray(consumed);
      this.#inFrame = left !== 0;
      if (produced > 0) yield block.subarray(0, produced);
      if (rest.length === 0 && (produced < block.length || left === 0)) return;
    }
  }

  /** @throws FormatError when the input stopped inside a frame */
  end(): void {
    if (this.#inFrame) throw new FormatError('SPLITSTREAM_ZSTD', 'compressed data ends inside a frame');
  }

  #step(block: Buffer, input: Uint8Array): [number, number, number] {
    try {
      return this.#context.decompressStream(block, input);
    } catch (cause) {
      throw new FormatError(
        'SPLITSTREAM_ZSTD',
        `compressed data is damaged: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
  }
}

/**
 * Decompresses a whole section into memory.
 * @param limit most bytes to accept
 * @throws FormatError when it is damaged or longer than `limit`
 */
export function decompressSection(bytes: Uint8Array, limit: number): Buffer {
  const reader = new ZstdReader();
  const blocks: Buffer[] = [];
  let length = 0;
  for (const block of reader.read(bytes)) {
    length += block.length;
    if (length > limit) throw new FormatError('SPLITSTREAM_LIMIT', `a compressed table is longer than ${limit} bytes`);
    blocks.push(block);
  }
  reader.end();
  return Buffer.concat(blocks, length);
}
