import type { ByteString } from '../../src/bytes.js';
import type { TarEntry } from '../../src/layer/entry.js';
import { closeChunk, type FdChunk, type NamedChunk } from '../../src/layer/stream.js';
import type { TarVisitor } from '../../src/layer/tar-scanner.js';
import type { GoldenChunk } from './golden.js';

/**
 * Collects what a scanner tells in the terms of a splitstream (chunks) and of a dumpfile (entries with content or
 * digest).
 */
export class Recorder implements TarVisitor {
  readonly entries: TarEntry[] = [];
  readonly smallContents = new Map<TarEntry, ByteString>();
  readonly objectNames = new Map<TarEntry, ByteString>();
  /** Inline bytes with neighbours joined, and one name per external file. */
  readonly chunks: GoldenChunk[] = [];
  readonly #inline: Buffer[] = [];
  readonly #nameOf: (entry: TarEntry) => string;

  /** @param nameOf names a file whose content came as bytes */
  constructor(nameOf: (entry: TarEntry) => string = (entry) => entry.path) {
    this.#nameOf = nameOf;
  }

  entry(entry: TarEntry): void {
    this.entries.push(entry);
  }

  inline(bytes: Buffer): void {
    this.#inline.push(Buffer.from(bytes));
  }

  smallContent(bytes: Buffer, entry: TarEntry): void {
    this.smallContents.set(entry, bytes.toString('latin1'));
  }

  content(_bytes: Buffer, entry: TarEntry, last: boolean): void {
    if (last) this.#external(entry, this.#nameOf(entry));
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
    this.#external(entry, chunk.kind === 'named' ? chunk.name : this.#nameOf(entry));
    closeChunk(chunk);
  }

  finish(): this {
    if (this.#inline.length > 0) this.chunks.push(Buffer.concat(this.#inline.splice(0)));
    return this;
  }

  #external(entry: TarEntry, name: string): void {
    this.finish();
    this.objectNames.set(entry, name);
    this.chunks.push(name);
  }
}
