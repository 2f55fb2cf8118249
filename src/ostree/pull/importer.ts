import { createHash } from 'node:crypto';
import { DigestMismatchError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { DIGEST_SIZE, type ObjectId } from '../../fsverity/object-id.js';
import { Batch } from '../../layer/batch.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import { IngestPipeline } from '../../repository/ingest-pipeline.js';
import type { FileResult, LayerIngest, StoreFailure } from '../../repository/objects.js';
import type { Repository } from '../../repository/repository.js';
import { readAt } from '../../fd/read-file.js';
import { verifyChecksum, type Checksum } from '../object/checksum.js';
import { HeaderWriter, type EncodedHeader } from '../object/file-header.js';
import type { CommitObjects } from '../stream/commit-objects.js';
import { CommitStreamBuilder } from '../stream/commit-stream-builder.js';
import type { CommitChunk } from '../stream/format.js';
import { canInflate, inflateAll } from './inflate.js';
import type { MetadataKind, SourceContent, SourceFile } from './source.js';

/** An object that was verified. @param object where the content of a file is that is not in the data */
export type OnObject = (id: Checksum, data: Buffer, object: ObjectId | undefined) => void;

/** What is remembered of a file in a batch. */
interface Sent {
  readonly id: Checksum;
  readonly header: EncodedHeader;
  /** bytes of the content */
  readonly size: number;
}

/** Pieces of a file of so many bytes at most go to the pool together. */
const GATHERED = 256 << 10;

/** So many files, of which each may be open, are in a batch at most. */
const TOGETHER = 32;
/** Where they are noted, one of so many that were taken: a kill loses few of them. */
const SHARE = 512;

/**
 * Takes the objects of one commit, in any order: each is verified against its id, and the content of files that are
 * not small goes into the repository. Nothing gets a name. Disposing waits for what is under way, and gives it up.
 */
export class CommitImporter implements AsyncDisposable {
  readonly #builder: CommitStreamBuilder;
  readonly #headers = new HeaderWriter();
  readonly #repository: Repository;
  readonly #policy: LayerPolicy;
  /** Content of so many bytes at most is in the commit stream. */
  readonly #inlineLimit: number;
  readonly #apart: boolean;
  #ingest: LayerIngest;
  #pipeline: IngestPipeline<readonly Sent[]>;
  /** Until the file before is done, where each is taken apart. */
  #turn: Promise<unknown> = Promise.resolve();
  /** What is in the pipeline's batch. */
  #sent: Sent[] = [];
  #files = 0;
  #finished = false;
  readonly #note: OnObject | undefined;

  /**
   * @param policy how files that are open are taken
   * @param note called with each object that was verified
   * @param apart one file after the other is taken, and the next one also when one is wrong
   */
  constructor(repository: Repository, policy: LayerPolicy, note?: OnObject, apart = false) {
    this.#note = note;
    this.#builder = new CommitStreamBuilder(repository.algorithm);
    this.#repository = repository;
    this.#policy = policy;
    this.#inlineLimit = 2 * DIGEST_SIZE[repository.algorithm];
    this.#apart = apart;
    this.#ingest = this.#newIngest();
    this.#pipeline = this.#newPipeline();
  }

  /** Whether it has taken the object whose id begins at `at`. */
  hasAt(bytes: Buffer, at: number): boolean {
    return this.#builder.hasAt(bytes, at);
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
  copy(objects: CommitObjects, index: number): void {
    this.#builder.take(objects, index);
  }

  /**
   * Takes a file, which is verified and stored by the time that `settle` is done; what is wrong with it is thrown by
   * then, here for another file or there. Takes the descriptor in it, also when it throws.
   * @throws DigestMismatchError for another file; FormatError `OSTREE_OBJECT` when there are more or less bytes of
   *   content than the source says; what the repository and the content throw
   */
  addFile(id: Checksum, file: SourceFile): Promise<void> {
    return 'fd' in file.content ? this.#addOpen(id, file, file.content.fd) : this.#addFile(id, file, undefined);
  }

  /** Waits until all files are verified and stored. @throws as `addFile` */
  async settle(): Promise<void> {
    this.#submit();
    await this.#pipeline.finish();
  }

  /** Of what was taken, when all is settled. @param commit one of the objects */
  async finish(commit: Checksum): Promise<CommitChunk> {
    await this.settle();
    this.#finished = true;
    return this.#builder.finish(commit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    await this.#giveUp();
  }

  #newIngest(): LayerIngest {
    return this.#repository.objects.ingest(this.#policy.take, this.#policy);
  }

  #newPipeline(): IngestPipeline<readonly Sent[]> {
    return new IngestPipeline(this.#ingest, {
      take: (results, sent) => sent.forEach((file, index) => this.#taken(file, results[index])),
      place: placed,
    });
  }

  async #giveUp(): Promise<void> {
    await this.#pipeline.abandon();
    await this.#ingest.withdrawWrong();
  }

  /** The same as `#send`, of nothing else at a time. */
  async #sendApart(...file: [Sent, SourceContent, Fd | undefined]): Promise<void> {
    const turn = this.#turn.then(async () => {
      try {
        await this.#send(...file);
        await this.settle();
      } catch (error) {
        await this.#giveUp();
        this.#sent = [];
        this.#ingest = this.#newIngest();
        this.#pipeline = this.#newPipeline();
        throw error;
      }
    });
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  async #addOpen(id: Checksum, file: SourceFile, fd: Fd): Promise<void> {
    using owned = fd;
    await this.#addFile(id, file, owned);
  }

  async #addFile(id: Checksum, { header, size, content }: SourceFile, file: Fd | undefined): Promise<void> {
    const sent = { id, header: this.#headers.encoded(header), size };
    if (size > this.#inlineLimit && (content.kind !== 'pieces' || size <= GATHERED))
      return await (this.#apart ? this.#sendApart(sent, content, file) : this.#send(sent, content, file));
    if (size > this.#inlineLimit) {
      const { pieces } = content as { pieces: AsyncIterable<Buffer> };
      const object = await this.#storePieces(sent, pieces);
      this.#add(id, sent.header.sized(size), object);
      return;
    }
    const bytes = await contentBytes(size, content);
    checkSize(id, size, bytes.length);
    checkFile(id, createHash('sha256').update(sent.header.hashed).update(bytes).digest('hex'));
    this.#add(id, Buffer.concat([sent.header.sized(size), bytes]), undefined);
  }

  #add(id: Checksum, data: Buffer, object: ObjectId | undefined): void {
    this.#builder.add(id, data, object);
    this.#note?.(id, data, object);
  }

  async #send(sent: Sent, content: SourceContent, file: Fd | undefined): Promise<void> {
    const { id, header, size } = sent;
    const bytes = isForAddon(content) ? undefined : await contentBytes(size, content);
    if (bytes !== undefined) checkSize(id, size, bytes.length);
    await this.#pipeline.room();
    const { batch } = this.#pipeline;
    batch.bytes(header.hashed);
    if (bytes !== undefined) batch.memory(bytes);
    else if (content.kind === 'deflated') batch.deflated(content.data, size);
    else if (content.kind === 'deflated-file') batch.deflatedFile(file!.move(), content.start, content.length, size);
    else batch.open(file!.move(), size);
    batch.digest();
    this.#sent.push(sent);
    this.#files++;
    const most = this.#note === undefined ? TOGETHER : Math.min(TOGETHER, Math.floor(this.#files / SHARE) + 1);
    if (this.#pipeline.isFull || this.#sent.length >= most) this.#submit();
  }

  #submit(): void {
    const sent = this.#sent;
    this.#sent = [];
    this.#pipeline.submit(sent);
  }

  #taken({ id, header, size }: Sent, result: FileResult | undefined): void {
    checkFile(id, result?.sha256 ?? '');
    this.#add(id, header.sized(size), storedIn(result));
  }

  async #storePieces(sent: Sent, pieces: AsyncIterable<Buffer>): Promise<ObjectId> {
    const ingest = this.#newIngest();
    try {
      const result = await submitPieces(ingest, sent, pieces);
      checkFile(sent.id, ingest.digest());
      return storedIn(result);
    } catch (error) {
      ingest.abort();
      throw error;
    }
  }
}

async function submitPieces(
  ingest: LayerIngest,
  { id, header, size }: Sent,
  pieces: AsyncIterable<Buffer>,
): Promise<FileResult | undefined> {
  const batch = new Batch();
  batch.bytes(header.hashed);
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
  const [result] = await ingest.submit(batch);
  return result;
}

/** Whether the addon opens it, and inflates it where need be. */
function isForAddon({ kind }: SourceContent): boolean {
  return kind === 'file' || (canInflate && (kind === 'deflated' || kind === 'deflated-file'));
}

/** The addon says which result it was: there is one of the file, and one of its digest. */
function placed(error: StoreFailure, sent: readonly Sent[]): Error | undefined {
  const id = error.file === undefined ? undefined : sent[Math.floor(error.file / 2)]?.id;
  if (id === undefined || error.code !== 'INFLATE') return undefined;
  return new FormatError('OSTREE_OBJECT', `file ${id} of the archive ${error.message}`, { cause: error });
}

function storedIn(result: FileResult | undefined): ObjectId {
  if (result === undefined || result.outcome === 'small') throw new RangeError('no object came of a file');
  return result.id;
}

/** All of a content, in memory; of a file only what `size` says. */
async function contentBytes(size: number, content: SourceContent): Promise<Buffer> {
  switch (content.kind) {
    case 'none':
      return Buffer.alloc(0);
    case 'bytes':
      return content.bytes;
    case 'deflated':
      return inflateAll(content.data, size);
    case 'deflated-file':
      return inflateAll(readAt(content.fd, content.start, content.length), size);
    case 'file':
      return readAt(content.fd, 0, size);
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
