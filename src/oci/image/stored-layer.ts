// A layer in the repository, read back as the entries of its tar. Content that lies in objects is not opened.
import { FormatError, NotFoundError } from '../../errors.js';
import type { TarEntry } from '../../layer/entry.js';
import type { FdChunk, NamedChunk } from '../../layer/stream.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import { checkMergedSize } from '../../repository/splitstream/merged.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { checkMergedLimit } from '../../repository/splitstream/reader.js';
import type { FileContent } from '../../tree/entry-node.js';
import { layerContentId } from '../../repository/names.js';
import { layerPieces } from './verified-pieces.js';

const EMPTY: FileContent = { kind: 'empty' };

/** One entry of a layer with the place of its content, as `LayerTree.apply` takes it. */
export interface PlacedEntry {
  entry: TarEntry;
  content: FileContent;
}

/** What a layer consists of; sizes in bytes, which add up to the length that the stream says its tar has. */
export interface LayerTotals {
  entryCount: number;
  /** different objects */
  externalObjects: number;
  externalSize: number;
  inlineSize: number;
}

/**
 * The splitstream of a layer.
 * @param diffId `sha256:…`
 * @throws NotFoundError
 */
export function layerStream(repository: Repository, diffId: string): ObjectId {
  const stream = repository.streamObject(layerContentId(diffId));
  if (stream === undefined) throw new NotFoundError(`there is no layer ${diffId} in the repository`);
  return stream;
}

/**
 * Reads the entries of a stored layer, in batches. The totals are complete when the last batch has been read. What
 * follows the end of the archive is not looked at: a few bytes can stand for gigabytes of it.
 * @param stream the layer's splitstream
 * @param diffId `sha256:…`: where the owner of the repository is not believed, all of the tar is hashed on the side,
 *   and the last step throws DigestMismatchError when it is another one
 * @throws NotFoundError, FormatError with the place in the tar
 */
export class StoredLayerReader {
  readonly totals: LayerTotals = { entryCount: 0, externalObjects: 0, externalSize: 0, inlineSize: 0 };
  readonly #repository: Repository;
  readonly #stream: ObjectId;
  readonly #diffId: string;

  constructor(repository: Repository, stream: ObjectId, diffId: string) {
    this.#repository = repository;
    this.#stream = stream;
    this.#diffId = diffId;
  }

  async *entries(signal?: AbortSignal): AsyncGenerator<PlacedEntry[]> {
    using reader = this.#repository.openStream(this.#stream);
    if (reader.contentType !== CONTENT_TYPES.layer)
      throw new FormatError('CONTENT_TYPE', `splitstream ${this.#stream} is not a layer`);
    const collector = new EntryCollector(this.totals);
    const scanner = new TarScanner(collector);
    const { dir } = this.#repository.objects;
    for await (const pieces of layerPieces(this.#repository, reader, this.#diffId, signal)) {
      for (const piece of pieces) {
        if (scanner.stage === 'trailing') break;
        if (piece.kind === 'inline') {
          scanner.bytes(piece.bytes);
        } else {
          collector.object = piece.id;
          checkMergedLimit(reader, scanner.offset + scanner.due);
          scanner.reference({ kind: 'named', dir, name: objectPath(piece.id), size: scanner.due });
        }
      }
      const complete = collector.takeComplete();
      if (complete.length > 0) yield complete;
      if (scanner.stage === 'trailing' && this.#repository.believed) break;
    }
    scanner.end();
    if (scanner.stage !== 'trailing') checkMergedSize(reader, scanner.offset);
    this.totals.externalObjects = reader.objects.length;
    this.totals.inlineSize = Number(reader.streamSize) - this.totals.externalSize;
    yield collector.takeAll();
  }
}

class EntryCollector implements TarVisitor {
  /** Where the content that comes next lies. */
  object: ObjectId = '';
  #entries: PlacedEntry[] = [];
  readonly #totals: LayerTotals;

  constructor(totals: LayerTotals) {
    this.#totals = totals;
  }

  /** All entries but the last one, whose content may still come. */
  takeComplete(): PlacedEntry[] {
    return this.#entries.splice(0, this.#entries.length - 1);
  }

  takeAll(): PlacedEntry[] {
    return this.#entries.splice(0);
  }

  entry(entry: TarEntry): void {
    this.#totals.entryCount++;
    this.#entries.push({ entry, content: EMPTY });
  }

  inline(): void {}

  smallContent(bytes: Buffer, entry: TarEntry): void {
    if (entry.type === 'file') this.#last().content = { kind: 'inline', bytes: Buffer.from(bytes) };
  }

  content(_: Buffer, { offset }: TarEntry): void {
    throw new FormatError('LAYER_INLINE', 'a file that has to be an object lies inside the splitstream', {
      place: { offset },
    });
  }

  reference(_: FdChunk | NamedChunk, entry: TarEntry): void {
    this.#totals.externalSize += entry.size;
    this.#last().content = { kind: 'object', id: this.object };
  }

  #last(): PlacedEntry {
    return this.#entries[this.#entries.length - 1] as PlacedEntry;
  }
}
