import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import type { PartWriter } from '../fd/part-writer.js';
import type { ByteSource } from '../fd/byte-source.js';
import { checkContent, openContent } from './content.js';
import { layerFrom, type ChunkStep } from './layer-pipe.js';
import { closeChunk, type Chunk, type LayerStream } from './stream.js';

/*
 * splitfdstream: repeat until the end of the file: a prefix, i64 little endian. Negative: that many bytes follow.
 * Otherwise: the whole content of the file with this index among the descriptors that came with the stream.
 */
const PREFIX_SIZE = 8;
const TWO_32 = 0x1_0000_0000;

/**
 * Reads a splitfdstream. The streams of the JSON-RPC method GetSplitFDStream lack padding and end blocks:
 * see completeLegacyTar.
 * @param fds the content files by index; owned by the stream from here on, those it does not mention are closed with it
 * @param lease further resources to release, after everything else, when the stream is disposed
 * @returns a stream that throws FormatError, with the offset in the splitfdstream, while it is read
 */
export function decodeSplitfdstream(
  source: ByteSource,
  fds: readonly Fd[],
  lease: readonly Disposable[] = [],
): LayerStream {
  const decoder = new Decoder(fds);
  return layerFrom(source, decoder, [decoder, ...lease]);
}

class Decoder implements ChunkStep<Buffer>, Disposable {
  /** Files not handed out yet. */
  readonly #files: (Fd | undefined)[];
  readonly #prefix = Buffer.alloc(PREFIX_SIZE);
  #prefixLength = 0;
  #inlineDue = 0;
  #offset = 0;

  constructor(fds: readonly Fd[]) {
    this.#files = [...fds];
  }

  push(piece: Buffer, out: Chunk[]): void {
    for (let pos = 0; pos < piece.length; ) {
      const before = pos;
      if (this.#inlineDue > 0) {
        pos = Math.min(piece.length, pos + this.#inlineDue);
        this.#inlineDue -= pos - before;
        out.push({ kind: 'bytes', bytes: piece.subarray(before, pos) });
        this.#offset += pos - before;
        continue;
      }
      let prefix = piece;
      let at = pos;
      if (this.#prefixLength > 0 || piece.length - pos < PREFIX_SIZE) {
        pos += piece.copy(this.#prefix, this.#prefixLength, pos);
        this.#prefixLength += pos - before;
        this.#offset += pos - before;
        if (this.#prefixLength < PREFIX_SIZE) return;
        this.#prefixLength = 0;
        prefix = this.#prefix;
        at = 0;
      } else {
        pos += PREFIX_SIZE;
        this.#offset += PREFIX_SIZE;
      }
      this.#chunk(prefix.readInt32LE(at + 4), prefix.readUInt32LE(at), out);
    }
  }

  end(): void {
    if (this.#prefixLength > 0 || this.#inlineDue > 0) throw this.#error('the stream ends in the middle of a chunk');
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file?.close();
  }

  #chunk(high: number, low: number, out: Chunk[]): void {
    if (high < 0) {
      const length = -(high * TWO_32 + low);
      if (length > Number.MAX_SAFE_INTEGER) throw this.#error('inline length out of range');
      this.#inlineDue = length;
      return;
    }
    if (high > 0 || low >= this.#files.length)
      throw this.#error(`a file is named that did not come; there are ${this.#files.length}`);
    const fd = this.#files[low];
    if (fd === undefined) throw this.#error(`file ${low} is named twice`);
    const size = checkContent(fd, undefined, this.#offset);
    this.#files[low] = undefined;
    // An empty file has no bytes in a tar.
    if (size === 0) fd.close();
    else out.push({ kind: 'fd', fd, size });
  }

  #error(message: string): FormatError {
    return new FormatError('SPLITFDSTREAM', message, { place: { offset: this.#offset } });
  }
}

/**
 * Writes a layer as splitfdstream. The caller disposes the layer.
 * @param passes whether a file of so many bytes goes as a descriptor; the content of others goes into the stream. Asked
 *   once for each.
 * @param fds receives the files that go as descriptors in the order of their index; they belong to the caller, also
 *   after an error
 * @throws what opening a file throws, FormatError when it is not the file its chunk promised, and PartFailure
 */
export async function encodeSplitfdstream(
  layer: LayerStream,
  out: PartWriter,
  passes: (size: number) => boolean,
  fds: Fd[],
): Promise<void> {
  for await (const batch of layer) {
    let taken = 0;
    try {
      while (taken < batch.length) {
        const chunk = batch[taken++]!;
        if (chunk.kind === 'bytes') {
          if (chunk.bytes.length === 0) continue;
          out.bytes(prefixOf(-BigInt(chunk.bytes.length)));
          out.bytes(chunk.bytes);
        } else if (passes(chunk.size)) {
          out.bytes(prefixOf(BigInt(fds.length)));
          fds.push(await openContent(chunk));
        } else {
          out.bytes(prefixOf(-BigInt(chunk.size)));
          if (chunk.kind === 'fd') out.open(chunk.fd, chunk.size);
          else out.named(chunk.dir, chunk.name, chunk.size);
        }
      }
    } finally {
      for (; taken < batch.length; taken++) closeChunk(batch[taken]!);
    }
    await out.pause();
  }
}

function prefixOf(value: bigint): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_SIZE);
  prefix.writeBigInt64LE(value);
  return prefix;
}
