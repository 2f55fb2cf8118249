// The way back: a layer in the repository as the pieces of its tar.
import { FormatError } from '../../errors.js';
import { closeChunk, type Chunk, type FdChunk, type LayerStream, type NamedChunk } from '../../layer/stream.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { checkMergedLimit, type Piece, type SplitstreamReader } from '../../repository/splitstream/reader.js';

/** So many chunks are handed out at once; where each is an open file this bounds the descriptors. */
const BATCH = 256;

/** How long a stored layer's tar is, in bytes, as its stream says. @throws NotFoundError, FormatError */
export function tarSize(repository: Repository, stream: ObjectId): number {
  using reader = repository.openStream(stream);
  return Number(reader.streamSize);
}

/** Where the content of a layer's file is. */
export type ObjectContent = (id: ObjectId) => FdChunk | NamedChunk;

/**
 * Objects by name. Their reader has to find out whether they are what they should be.
 * @param dir another descriptor of the repository's `objects`, through which they are opened
 */
export function objectsByName(repository: Repository, dir = repository.objects.dir): ObjectContent {
  return (id) => ({ kind: 'named', dir, name: objectPath(id), size: repository.objects.size(id) });
}

/** Objects by name, or opened and measured where the repository wants fs-verity. @param dir as for `objectsByName` */
export function measuredObjects(repository: Repository, dir = repository.objects.dir): ObjectContent {
  if (!repository.verityRequired) return objectsByName(repository, dir);
  return (id) => {
    const fd = repository.objects.open(id, dir);
    return { kind: 'fd', fd, size: fd.stat().size };
  };
}

/**
 * A stored layer as a source, for serving it, verifying it, or storing it elsewhere. Nothing is verified on the way.
 */
export class RepositoryLayer implements LayerStream {
  readonly #content: ObjectContent;
  readonly #reader: SplitstreamReader;
  readonly #signal: AbortSignal | undefined;
  #length = 0;

  /**
   * @param repository stays open until the layer is disposed
   * @param stream the layer's splitstream
   * @throws NotFoundError, FormatError
   */
  constructor(repository: Repository, stream: ObjectId, signal?: AbortSignal, content = measuredObjects(repository)) {
    this.#content = content;
    this.#signal = signal;
    this.#reader = repository.openStream(stream);
    if (this.#reader.contentType === CONTENT_TYPES.layer) return;
    this.#reader[Symbol.dispose]();
    throw new FormatError('CONTENT_TYPE', `splitstream ${stream} is not a layer`);
  }

  /** Length of the tar as the stream's writer declared it, in bytes. */
  get declaredSize(): bigint {
    return this.#reader.streamSize;
  }

  /** @throws FormatError before there are more bytes than the stream says */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    this.#length = 0;
    for await (const pieces of this.#reader.batches(this.#signal)) {
      for (let at = 0; at < pieces.length; at += BATCH) yield this.#chunks(pieces.slice(at, at + BATCH));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reader[Symbol.dispose]();
  }

  #chunks(pieces: readonly Piece[]): Chunk[] {
    const chunks: Chunk[] = [];
    try {
      for (const piece of pieces) {
        const chunk: Chunk = piece.kind === 'inline' ? { kind: 'bytes', bytes: piece.bytes } : this.#content(piece.id);
        chunks.push(chunk);
        this.#length += chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
        checkMergedLimit(this.#reader, this.#length);
      }
      return chunks;
    } catch (error) {
      chunks.forEach(closeChunk);
      throw error;
    }
  }
}
