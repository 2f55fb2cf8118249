import { createHash } from 'node:crypto';
import { DigestMismatchError, FormatError } from '../../errors.js';
import { DIGEST_SIZE, type ObjectId } from '../../fsverity/object-id.js';
import { Batch } from '../../layer/batch.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import type { LayerIngest } from '../../repository/objects.js';
import type { Repository } from '../../repository/repository.js';
import { readAt } from '../../fd/read-file.js';
import { verifyChecksum, type Checksum } from '../object/checksum.js';
import { encodeHeader, encodeSizedHeader } from '../object/file-header.js';
import type { StoredEntry } from '../stream/commit-objects.js';
import { CommitStreamBuilder, type CommitChunk } from '../stream/commit-stream-builder.js';
import type { MetadataKind, SourceContent, SourceFile } from './source.js';

/**
 * Takes the objects of one commit, in any order: each is verified against its id, and the content of files that are
 * not small goes into the repository. Nothing gets a name.
 */
export class CommitImporter {
  readonly #builder = new CommitStreamBuilder();
  readonly #repository: Repository;
  readonly #policy: LayerPolicy;
  /** Content of so many bytes at most is in the commit stream. */
  readonly #inlineLimit: number;
  /** Filled and submitted in one go. */
  readonly #batch = new Batch();
  readonly #note: (id: Checksum, data: Buffer, object: ObjectId | undefined) => void;

  /**
   * @param policy how files that are open are taken
   * @param note called with each object that was verified
   */
  constructor(
    repository: Repository,
    policy: LayerPolicy,
    note: (id: Checksum, data: Buffer, object: ObjectId | undefined) => void = () => undefined,
  ) {
    this.#note = note;
    this.#repository = repository;
    this.#policy = policy;
    this.#inlineLimit = 2 * DIGEST_SIZE[repository.algorithm];
  }

  has(id: Checksum): boolean {
    return this.#builder.has(id);
  }

  /** How many objects it has taken. */
  get count(): number {
    return this.#builder.count;
  }

  /** The bytes of a commit, dirtree or dirmeta that was taken. Valid until the next object is. */
  metadata(id: Checksum): Buffer | undefined {
    return this.#builder.data(id);
  }

  /** @throws DigestMismatchError when the bytes are not those of the object */
  addMetadata(kind: MetadataKind, id: Checksum, bytes: Buffer): void {
    verifyChecksum(bytes, id, kind);
    this.#add(id, bytes, undefined);
  }

  /** Takes over what another commit of the repository has: metadata was verified there, files are believed. */
  copy({ id, data, object }: StoredEntry): void {
    this.#builder.add(id, data, object);
  }

  /**
   * Verifies a file and stores it. Takes the descriptor in it, also when it throws.
   * @throws DigestMismatchError for another file; FormatError `OSTREE_OBJECT` when there are more or less bytes of
   *   content than the source says; what the repository and the content throw
   */
  async addFile(id: Checksum, { header, size, content }: SourceFile): Promise<void> {
    const hashed = encodeHeader(header);
    const sized = encodeSizedHeader(header, BigInt(size));
    if (size > this.#inlineLimit) {
      this.#add(id, sized, await this.#store(id, hashed, size, content));
      return;
    }
    const bytes = await smallContent(id, size, content);
    checkFile(id, createHash('sha256').update(hashed).update(bytes).digest('hex'));
    this.#add(id, Buffer.concat([sized, bytes]), undefined);
  }

  /** @param commit one of the objects that were taken */
  finish(commit: Checksum): CommitChunk {
    return this.#builder.finish(commit);
  }

  #add(id: Checksum, data: Buffer, object: ObjectId | undefined): void {
    this.#builder.add(id, data, object);
    this.#note(id, data, object);
  }

  async #store(id: Checksum, header: Buffer, size: number, content: SourceContent): Promise<ObjectId> {
    const ingest = this.#repository.objects.ingest(this.#policy.take, this.#policy);
    try {
      const object = await this.#submit(ingest, id, header, size, content);
      checkFile(id, ingest.digest());
      return object;
    } catch (error) {
      ingest.abort();
      await ingest.withdrawWrong();
      throw error;
    }
  }

  async #submit(
    ingest: LayerIngest,
    id: Checksum,
    header: Buffer,
    size: number,
    content: SourceContent,
  ): Promise<ObjectId> {
    if (content.kind === 'pieces') return this.#submitPieces(ingest, id, header, size, content.pieces);
    const batch = this.#batch;
    if (content.kind === 'file') {
      batch.bytes(header);
      batch.open(content.fd, size);
    } else {
      checkSize(id, size, content.kind === 'none' ? 0 : content.bytes.length);
      batch.bytes(header);
      batch.memory((content as { bytes: Buffer }).bytes);
    }
    return storedIn(await ingest.submit(batch));
  }

  async #submitPieces(
    ingest: LayerIngest,
    id: Checksum,
    header: Buffer,
    size: number,
    pieces: AsyncIterable<Buffer>,
  ): Promise<ObjectId> {
    const batch = this.#batch;
    batch.bytes(header);
    batch.dataBegin(size);
    let last: Promise<unknown> = ingest.submit(batch);
    let length = 0;
    for await (const piece of pieces) {
      await last;
      length += piece.length;
      if (length > size) checkSize(id, size, length);
      batch.data(piece);
      last = ingest.submit(batch);
      // Its error comes when its turn does.
      last.catch(() => undefined);
    }
    await last;
    checkSize(id, size, length);
    batch.dataEnd();
    return storedIn(await ingest.submit(batch));
  }
}

function storedIn([result]: Awaited<ReturnType<LayerIngest['submit']>>): ObjectId {
  if (result === undefined || result.outcome === 'small') throw new RangeError('no object came of a file');
  return result.id;
}

async function smallContent(id: Checksum, size: number, content: SourceContent): Promise<Buffer> {
  const bytes = await contentBytes(size, content);
  checkSize(id, size, bytes.length);
  return bytes;
}

/** @param size more than that need not be read */
async function contentBytes(size: number, content: SourceContent): Promise<Buffer> {
  switch (content.kind) {
    case 'none':
      return Buffer.alloc(0);
    case 'bytes':
      return content.bytes;
    case 'file': {
      using file = content.fd;
      return readAt(file, 0, size);
    }
    case 'pieces': {
      const pieces: Buffer[] = [];
      let length = 0;
      for await (const piece of content.pieces) {
        pieces.push(Buffer.from(piece));
        length += piece.length;
        if (length > size) break;
      }
      return Buffer.concat(pieces);
    }
  }
}

function checkSize(id: Checksum, expected: number, actual: number): void {
  if (actual === expected) return;
  throw new FormatError(
    'OSTREE_OBJECT',
    `file ${id} has ${actual > expected ? 'more than' : `${actual} of`} the ${expected} bytes that its header says`,
  );
}

function checkFile(id: Checksum, actual: Checksum): void {
  if (actual !== id) throw new DigestMismatchError('Unexpected file checksum', id, actual);
}
