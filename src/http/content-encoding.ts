import { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { HttpError } from './http-error.js';

const DECODERS: Readonly<Record<string, () => NodeJS.ReadWriteStream & Readable>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Undoes an encoding that nobody asked for: every request here asks for none, but some proxies add one.
 * @throws HttpError `HTTP_ENCODING` for one that is unknown or damaged, `HTTP_CUT` where it ends too soon
 */
export async function* decoded(
  pieces: AsyncIterable<Buffer>,
  encoding: string,
  url: URL,
): AsyncGenerator<Buffer, void, void> {
  const make = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (make === undefined)
    throw new HttpError('HTTP_ENCODING', url, 'the answer is in a content encoding that was not asked for');
  const decoder = make();
  const source = Readable.from(pieces, { objectMode: true, highWaterMark: 1 });
  source.on('error', (error) => decoder.destroy(error));
  source.pipe(decoder);
  try {
    for await (const piece of decoder) yield piece as Buffer;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && /^(?:Z_|ERR_BROTLI|ERR__ERROR)/.test(String(error.code))))
      throw error;
    const cut = error.code === 'Z_BUF_ERROR';
    throw new HttpError(
      cut ? 'HTTP_CUT' : 'HTTP_ENCODING',
      url,
      `the content encoding ${encoding} is damaged: ${error.message}`,
      { cause: error, temporary: cut },
    );
  } finally {
    source.destroy();
  }
}
