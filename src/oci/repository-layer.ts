// The way back: a layer in the repository as the pieces of its tar.
import { constants } from 'node:fs';
import { FormatError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { closeChunk, type Chunk, type LayerStream } from '../layer/stream.js';
import { files } from '../native.js';
import { objectPath, type ObjectId } from '../repository/object-id.js';
import type { Repository } from '../repository/repository.js';
import { CONTENT_TYPES } from '../repository/splitstream-format.js';
import type { Piece, SplitstreamReader } from '../repository/splitstream-reader.js';

/** So many chunks are handed out at once; where each is an open file this bounds the descriptors. */
const BATCH = 256;

/** The length of an object. @throws NotFoundError; FormatError when it is not a regular file */
export function objectSize(repository: Repository, id: ObjectId): number {
  try {
    const { mode, size } = files.fstatat(repository.objects.dir.number, objectPath(id));
    if ((mode & constants.S_IFMT) === constants.S_IFREG) return size;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new NotFoundError(`object ${id} is missing; pull the image again`, { cause: error });
    throw error;
  }
  throw new FormatError('OBJECT_TYPE', `object ${id} is not a regular file`);
}

/** Where the content of a layer's file is. */
export type ObjectContent = (id: ObjectId) => Chunk;

/** Objects by name. Whoever opens them has to find out whether they are what they should be. */
export function namedObjects(repository: Repository): ObjectContent {
  return (id) => ({ kind: 'named', dir: repository.objects.dir, name: objectPath(id), size: objectSize(repository, id) });
}

/** Objects by name, or opened and measured where the repository wants fs-verity. */
export function measuredObjects(repository: Repository): ObjectContent {
  if (!repository.verityRequired) return namedObjects(repository);
  return (id) => {
    const fd = repository.objects.open(id);
    return { kind: 'fd', fd, size: fd.stat().size };
  };
}

/** A stored layer as a source, for serving it, verifying it, or storing it elsewhere. Nothing is verified on the way. */
export class RepositoryLayer implements LayerStream {
  readonly #content: ObjectContent;
  readonly #reader: SplitstreamReader;
  readonly #signal: AbortSignal | undefined;

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

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
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
      for (const piece of pieces) chunks.push(piece.kind === 'inline' ? { kind: 'bytes', bytes: piece.bytes } : this.#content(piece.id));
      return chunks;
    } catch (error) {
      chunks.forEach(closeChunk);
      throw error;
    }
  }
}
