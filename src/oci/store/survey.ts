// What a layer consists of, found out without writing anything.
import { closeChunk, type FdChunk, type LayerStream, type NamedChunk } from '../../layer/stream.js';
import type { TarEntry } from '../../layer/entry.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';

export interface LayerSurvey {
  /** entries of the tar */
  entries: number;
  /** files whose content lies in a file, which may be shared */
  files: number;
  fileBytes: number;
  /** files whose content is in the stream, and is written */
  inlined: number;
  inlineBytes: number;
}

/**
 * Reads a layer to its end. Nothing is verified, and no file is opened that comes by name.
 * @throws FormatError for what is not a tar; whatever reading the stream throws; the signal's reason
 */
export async function surveyLayer(stream: LayerStream, signal: AbortSignal | undefined): Promise<LayerSurvey> {
  const counter = new ContentCounter();
  const scanner = new TarScanner(counter);
  for await (const chunks of stream) {
    let taken = 0;
    try {
      signal?.throwIfAborted();
      for (const chunk of chunks) {
        taken++;
        if (chunk.kind === 'bytes') scanner.bytes(chunk.bytes);
        else scanner.reference(chunk);
      }
    } finally {
      chunks.slice(taken).forEach(closeChunk);
    }
  }
  scanner.end();
  return counter.survey;
}

class ContentCounter implements TarVisitor {
  readonly survey: LayerSurvey = { entries: 0, files: 0, fileBytes: 0, inlined: 0, inlineBytes: 0 };

  entry(): void {
    this.survey.entries++;
  }

  inline(): void {}

  smallContent(_: Buffer, entry: TarEntry): void {
    this.#inlined(entry);
  }

  content(_: Buffer, entry: TarEntry, last: boolean): void {
    if (last) this.#inlined(entry);
  }

  reference(chunk: FdChunk | NamedChunk, { size }: TarEntry): void {
    closeChunk(chunk);
    this.survey.files++;
    this.survey.fileBytes += size;
  }

  #inlined({ type, size }: TarEntry): void {
    if (type !== 'file') return;
    this.survey.inlined++;
    this.survey.inlineBytes += size;
  }
}
