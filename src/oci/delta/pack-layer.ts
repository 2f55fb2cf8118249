// A layer of the new image as a patch: what it takes of the old image's files, and what is new.
import type { Abortable } from '../../abortable.js';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { TarEntry } from '../../layer/entry.js';
import { closeChunk, type FdChunk, type NamedChunk } from '../../layer/stream.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { checkMergedSize } from '../../repository/splitstream/merged.js';
import { checkMergedLimit } from '../../repository/splitstream/reader.js';
import type { BlobFacts } from '../../spec/manifest.js';
import { measuredObjects } from '../image/repository-layer.js';
import { TarHasher } from '../image/tar-hasher.js';
import { PatchWriter, type PatchOptions } from './patch-writer.js';
import type { SourceFiles } from './source-files.js';

/** What a layer's tar consists of, in bytes. */
export interface LayerParts {
  /** files that the old image has, too */
  copied: number;
  /** files that are packed with the help of one of the old image */
  changed: number;
  /** files that are like none there */
  added: number;
  /** headers, and files that are too small to be looked for */
  rest: number;
}

export interface PackedLayer {
  facts: BlobFacts;
  parts: LayerParts;
}

interface PackOptions extends PatchOptions, Abortable {
  /** so many bytes of the tar are through */
  onProgress: (done: number) => void;
}

/**
 * Writes the patch that makes a layer. The layer is verified on the way.
 * @param stream its splitstream
 * @param out where to
 * @throws DigestMismatchError when it is another layer than `diffId`; NotFoundError, FormatError for what is missing or
 *   damaged; BridgeError `NO_SPACE`; the signal's reason
 */
export async function packLayer(
  repository: Repository,
  { stream, diffId }: { stream: ObjectId; diffId: string },
  files: SourceFiles,
  out: Fd,
  { signal = new AbortController().signal, onProgress, ...options }: PackOptions,
): Promise<PackedLayer> {
  using reader = repository.openStream(stream);
  if (reader.contentType !== CONTENT_TYPES.layer)
    throw new FormatError('CONTENT_TYPE', `splitstream ${stream} is not a layer`);
  const { objects } = repository;
  const objectOf = measuredObjects(repository);
  const hasher = new TarHasher(objects);
  let complete = false;
  await using patch = new PatchWriter(objects, out, options, signal);
  const collector = new FileCollector(patch, files);
  const scanner = new TarScanner(collector);
  try {
    using _ = hasher.stopOn(signal);
    for await (const pieces of reader.batches(signal)) {
      for (const piece of pieces) {
        if (piece.kind === 'inline') {
          scanner.bytes(piece.bytes);
          await hasher.take([{ kind: 'bytes', bytes: piece.bytes }]);
        } else {
          const chunk = objectOf(piece.id);
          try {
            checkMergedLimit(reader, scanner.offset + chunk.size);
            collector.object = piece.id;
            scanner.reference({ kind: 'named', dir: objects.dir, name: '', size: chunk.size });
          } catch (error) {
            closeChunk(chunk);
            throw error;
          }
          await hasher.take([chunk]);
        }
        await collector.pending?.();
        collector.pending = undefined;
      }
      await patch.room();
      onProgress(scanner.offset);
    }
    scanner.end();
    checkMergedSize(reader, scanner.offset);
    await hasher.check(diffId);
    complete = true;
  } finally {
    if (!complete) await hasher.abandon();
    signal.throwIfAborted();
  }
  const facts = await patch.finish();
  return { facts, parts: collector.parts };
}

/** Decides of each file what it is made of. */
class FileCollector implements TarVisitor {
  /** The content that comes next. */
  object: ObjectId = '';
  readonly parts: LayerParts = { copied: 0, changed: 0, added: 0, rest: 0 };
  /** What has to be written before anything else. */
  pending: (() => Promise<void>) | undefined;
  readonly #patch: PatchWriter;
  readonly #files: SourceFiles;

  constructor(patch: PatchWriter, files: SourceFiles) {
    this.#patch = patch;
    this.#files = files;
  }

  entry(): void {}

  smallContent(): void {}

  inline(bytes: Buffer): void {
    this.parts.rest += bytes.length;
    this.#patch.data(bytes);
  }

  content(bytes: Buffer): void {
    this.inline(bytes);
  }

  reference(_: FdChunk | NamedChunk, { path, size }: TarEntry): void {
    const target = { id: this.object, size };
    const same = this.#files.same(target.id);
    if (same !== undefined) {
      this.parts.copied += size;
      this.#patch.copy(same.path, size);
      return;
    }
    const related = this.#files.related(normalPath(path), size);
    if (related === undefined) {
      this.parts.added += size;
      this.#patch.content(target);
      return;
    }
    this.parts.changed += size;
    this.pending = () => this.#patch.changed(related.path, related, target);
  }
}

/** As the image has it. */
function normalPath(path: ByteString): ByteString {
  return path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/');
}
