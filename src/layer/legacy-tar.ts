import { FormatError } from '../errors.js';
import { LEGACY_HEADERS_LIMIT } from '../limits.js';
import { layerFrom, type ChunkStep } from './layer-pipe.js';
import { closeChunk, type Chunk, type LayerStream } from './stream.js';
import { BLOCK_SIZE } from './tar-header.js';
import { TarScanner } from './tar-scanner.js';

/*
 * The streams of the JSON-RPC method GetSplitFDStream are tars with two things left out: the padding after file
 * content, and the two blocks of zeros at the end. Extension records keep theirs.
 */
const ZEROS = Buffer.alloc(2 * BLOCK_SIZE);

/**
 * Puts back what streams of GetSplitFDStream leave out. Disposing the result disposes `layer`. Throws as TarScanner
 * does.
 */
export function completeLegacyTar(layer: LayerStream): LayerStream {
  return layerFrom(layer, new Complete());
}

/**
 * Leaves out what clients of GetSplitFDStream put back. A header with the records before it comes as one chunk.
 * Disposing the result disposes `layer`. Throws as TarScanner does.
 */
export function stripForLegacy(layer: LayerStream): LayerStream {
  return layerFrom(layer, new Strip());
}

/** Passes a tar on in parts that are all of one kind; the scanner only tells where in the tar a byte is. */
abstract class LegacyStep implements ChunkStep<readonly Chunk[]> {
  protected readonly scanner = new TarScanner({
    entry: () => this.entries++,
    inline() {},
    smallContent() {},
    content() {},
    reference() {},
  });
  protected entries = 0;

  push(batch: readonly Chunk[], out: Chunk[]): void {
    let taken = 0;
    try {
      while (taken < batch.length) {
        const chunk = batch[taken++]!;
        if (chunk.kind === 'bytes') this.#bytes(chunk.bytes, out);
        else {
          this.scanner.reference(chunk);
          out.push(chunk);
          this.afterContent(out);
        }
      }
    } finally {
      for (; taken < batch.length; taken++) closeChunk(batch[taken]!);
    }
  }

  abstract end(out: Chunk[]): void;

  /** A part that is all of one kind; `place` is the scanner's stage before it. */
  protected abstract part(bytes: Buffer, place: TarScanner['stage'], out: Chunk[]): void;

  /** A file's content is complete. */
  protected abstract afterContent(out: Chunk[]): void;

  #bytes(bytes: Buffer, out: Chunk[]): void {
    for (let pos = 0; pos < bytes.length; ) {
      const { stage, due } = this.scanner;
      const part = bytes.subarray(pos, Math.min(bytes.length, pos + due));
      this.scanner.bytes(part);
      this.part(part, stage, out);
      if ((stage === 'content' || stage === 'small') && part.length === due) this.afterContent(out);
      pos += part.length;
    }
  }
}

class Complete extends LegacyStep {
  override end(out: Chunk[]): void {
    this.scanner.end();
    if (this.scanner.stage === 'header') out.push({ kind: 'bytes', bytes: ZEROS });
  }

  protected override part(bytes: Buffer, _place: TarScanner['stage'], out: Chunk[]): void {
    out.push({ kind: 'bytes', bytes });
  }

  protected override afterContent(out: Chunk[]): void {
    if (this.scanner.stage !== 'padding') return;
    const padding = ZEROS.subarray(0, this.scanner.due);
    this.scanner.bytes(padding);
    out.push({ kind: 'bytes', bytes: padding });
  }
}

class Strip extends LegacyStep {
  /** Bytes since the last content or header. */
  #headers: Buffer[] = [];
  #headersLength = 0;
  #entriesWritten = 0;
  #isContentPadding = false;

  override end(): void {
    this.scanner.end();
  }

  protected override part(bytes: Buffer, place: TarScanner['stage'], out: Chunk[]): void {
    if (place === 'content' || place === 'small') {
      out.push({ kind: 'bytes', bytes });
      return;
    }
    if (place === 'end' || place === 'trailing' || (place === 'padding' && this.#isContentPadding)) return;
    this.#isContentPadding = false;
    this.#headers.push(Buffer.from(bytes));
    this.#headersLength += bytes.length;
    // Global headers may follow each other without end.
    if (this.#headersLength > LEGACY_HEADERS_LIMIT) {
      const advice = 'such a layer can only be sent by the other protocol, varlink';
      throw new FormatError(
        'TAR_EXTENSION',
        `tar headers of more than ${LEGACY_HEADERS_LIMIT} bytes before one entry; ${advice}`,
        { place: { offset: this.scanner.offset } },
      );
    }
    if (this.entries > this.#entriesWritten) this.#flush(0, out);
    else if (this.scanner.stage === 'end') this.#flush(BLOCK_SIZE, out);
  }

  protected override afterContent(): void {
    this.#isContentPadding = this.scanner.stage === 'padding';
  }

  /** Writes what has come together, without its last `omit` bytes. */
  #flush(omit: number, out: Chunk[]): void {
    const bytes = Buffer.concat(this.#headers);
    this.#headers = [];
    this.#headersLength = 0;
    this.#entriesWritten = this.entries;
    if (bytes.length > omit) out.push({ kind: 'bytes', bytes: bytes.subarray(0, bytes.length - omit) });
  }
}
