// gzip by node:zlib, where the addon does not find zlib in Node.
import { once } from 'node:events';
import { createGunzip } from 'node:zlib';

const OUTPUT_SIZE = 256 * 1024;
/** So many bytes may wait before and after it, so that reading, decompressing and storing overlap. */
const READ_AHEAD = 1 << 20;
const OPTIONS = { chunkSize: OUTPUT_SIZE, highWaterMark: READ_AHEAD };

/** As `Gunzip.read`, and the pieces are the reader's. */
export async function* nodeGunzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const gunzip = createGunzip(OPTIONS);
  const left = new AbortController();
  // Errors reach the reader through the iterator; one that comes while nobody reads must not end the process.
  gunzip.on('error', () => undefined);
  gunzip.on('close', () => left.abort());
  gunzip.on('end', () => left.abort());
  const feed = async (): Promise<void> => {
    try {
      for await (const piece of source) {
        // Zeros after the last member end the output early; they still belong to the file whose digest is taken.
        if (!left.signal.aborted && !gunzip.write(piece))
          await once(gunzip, 'drain', { signal: left.signal }).catch(() => undefined);
      }
      gunzip.end();
    } catch (error) {
      gunzip.destroy(error as Error);
    }
  };
  const fed = feed();
  try {
    for await (const piece of gunzip) yield piece as Buffer;
    await fed;
  } finally {
    gunzip.destroy();
  }
}
