import type { ObjectSource, SourceFile } from './source.js';

/** The same source. @param onBytes is told how many bytes have come, of content without its compression */
export function measured(source: ObjectSource, onBytes: (count: number) => void): ObjectSource {
  return {
    ...source,
    metadata: async (kind, id, signal) => {
      const bytes = await source.metadata(kind, id, signal);
      onBytes(bytes.length);
      return bytes;
    },
    file: async (id, signal) => measuredFile(await source.file(id, signal), onBytes),
  };
}

/** The same file. */
export function measuredFile<F extends Pick<SourceFile, 'size'> & { content: SourceFile['content'] }>(
  file: F,
  onBytes: (count: number) => void,
): F {
  if (file.content.kind === 'pieces')
    return { ...file, content: { kind: 'pieces', pieces: measuredPieces(file.content.pieces, onBytes) } };
  onBytes(file.size);
  return file;
}

async function* measuredPieces(
  pieces: AsyncIterable<Buffer>,
  onBytes: (count: number) => void,
): AsyncGenerator<Buffer, void, void> {
  for await (const piece of pieces) {
    onBytes(piece.length);
    yield piece;
  }
}
