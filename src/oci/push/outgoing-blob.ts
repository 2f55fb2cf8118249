// What is sent: bytes that can be read again from any offset, and are the same each time.
import { createHash } from 'node:crypto';
import { compress, compressionName, type CompressionChoice } from '../../compress/compress.js';
import { DigestMismatchError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { readBlocks } from '../../fd/read-file.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { mergedStream } from '../../repository/splitstream/merged.js';
import type { Repository } from '../../repository/repository.js';
import { HashedLayer } from '../image/hashed-layer.js';
import type { BlobFacts } from '../../spec/manifest.js';

const FILE_BLOCK = 256 << 10;

export interface OutgoingBlob {
  /** its digest, or that of its tar while nobody knows it */
  readonly name: string;
  /** says which bytes these are, to find again what an earlier push has noted of them */
  readonly key: string;
  /** undefined until all of it was read, for a blob that nobody has made before */
  readonly facts: BlobFacts | undefined;
  /**
   * Its bytes from an offset on. The end is an error when they are not those its digest names, or not of the tar that
   * they should be.
   */
  open(from: number): AsyncIterable<Buffer>;
}

/** Bytes that are in memory. */
export function bytesBlob(digest: string, bytes: Buffer): OutgoingBlob {
  return {
    name: digest,
    key: digest,
    facts: { digest, size: bytes.length },
    async *open(from) {
      yield bytes.subarray(from);
    },
  };
}

/** Bytes that are in a file of ours. @param file stays the caller's */
export function fileBlob(file: Fd, facts: BlobFacts, signal: AbortSignal | undefined): OutgoingBlob {
  return {
    name: facts.digest,
    key: facts.digest,
    facts,
    open: (from) => readBlocks(file, from, facts.size, FILE_BLOCK, signal),
  };
}

/** A blob that is in the repository as it is. @param stream its splitstream */
export function storedBlob(
  repository: Repository,
  stream: ObjectId,
  facts: BlobFacts,
  signal: AbortSignal | undefined,
): OutgoingBlob {
  return {
    name: facts.digest,
    key: facts.digest,
    facts,
    async *open(from) {
      using reader = repository.openStream(stream);
      yield* skipped(verified(mergedStream(repository.objects, reader, signal), facts), from);
    },
  };
}

/** A layer's tar, which was a blob as it is. */
export function tarOfLayer(
  repository: Repository,
  stream: ObjectId,
  diffId: string,
  size: number,
  signal: AbortSignal | undefined,
): OutgoingBlob {
  return {
    name: diffId,
    key: diffId,
    facts: { digest: diffId, size },
    async *open(from) {
      await using layer = new HashedLayer(repository, stream, diffId, signal);
      yield* skipped(layer.bytes(), from);
    },
  };
}

/** A layer that is put together and compressed while it is read. */
export class CompressedLayer implements OutgoingBlob {
  readonly name: string;
  readonly key: string;
  readonly #repository: Repository;
  readonly #stream: ObjectId;
  readonly #diffId: string;
  readonly #choice: CompressionChoice;
  readonly #signal: AbortSignal | undefined;
  #facts: BlobFacts | undefined;

  /** @param known what an earlier push found out, by the blob's key */
  constructor(
    repository: Repository,
    stream: ObjectId,
    diffId: string,
    choice: CompressionChoice,
    known: (key: string) => BlobFacts | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.name = diffId;
    this.key = `${diffId} ${compressionName(choice)}`;
    this.#repository = repository;
    this.#stream = stream;
    this.#diffId = diffId;
    this.#choice = choice;
    this.#facts = known(this.key);
    this.#signal = signal;
  }

  get facts(): BlobFacts | undefined {
    return this.#facts;
  }

  open(from: number): AsyncIterable<Buffer> {
    return skipped(this.#bytes(), from);
  }

  async *#bytes(): AsyncGenerator<Buffer, void, void> {
    await using layer = new HashedLayer(this.#repository, this.#stream, this.#diffId, this.#signal);
    const hash = createHash('sha256');
    let size = 0;
    let last: Buffer | undefined;
    // The last piece waits until the tar is known to be right: what has no mark of its end must not look complete.
    for await (const piece of compress(layer.bytes(), this.#choice)) {
      hash.update(piece);
      size += piece.length;
      if (last !== undefined) yield last;
      last = piece;
    }
    const facts = { digest: `sha256:${hash.digest('hex')}`, size };
    if (this.#facts !== undefined && facts.digest !== this.#facts.digest)
      throw new DigestMismatchError(`layer ${this.#diffId}, compressed again`, this.#facts.digest, facts.digest);
    this.#facts = facts;
    if (last !== undefined) yield last;
  }
}

async function* verified(
  pieces: AsyncIterable<Buffer>,
  { digest, size }: BlobFacts,
): AsyncGenerator<Buffer, void, void> {
  const algorithm = digest.slice(0, digest.indexOf(':'));
  const hash = createHash(algorithm);
  let left = size;
  let last: Buffer | undefined;
  for await (const piece of pieces) {
    hash.update(piece);
    left -= piece.length;
    if (left < 0) break;
    if (last !== undefined) yield last;
    last = Buffer.from(piece);
  }
  if (left !== 0) throw new FormatError('BLOB_SIZE', `blob ${digest} in the repository has not its ${size} bytes`);
  const actual = `${algorithm}:${hash.digest('hex')}`;
  if (actual !== digest) throw new DigestMismatchError('blob in the repository', digest, actual);
  if (last !== undefined) yield last;
}

async function* skipped(pieces: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer, void, void> {
  let left = bytes;
  for await (const piece of pieces) {
    const rest = left > 0 ? piece.subarray(Math.min(left, piece.length)) : piece;
    left -= piece.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}
