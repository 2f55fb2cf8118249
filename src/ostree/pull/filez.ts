// A file object of an archive repository, and of one that is served: the sized header, then the content as raw deflate
// data. Nothing comes behind the data, and behind the header of a symlink nothing at all.
import { promisify } from 'node:util';
import { createInflateRaw, inflateRaw, type InflateRaw, type ZlibOptions } from 'node:zlib';
import { FormatError } from '../../errors.js';
import { WHOLE_CONTENT_LIMIT } from '../../limits.js';
import { headerLength, isSymlink, parseSizedHeader, type SizedHeader } from '../object/file-header.js';
import type { SourceFile } from './source.js';

const PREFIX = 8;
const OUTPUT_SIZE = 256 << 10;

/**
 * Reads the beginning of a .filez; its content comes piece by piece, and for a small file at once.
 * @param pieces of the file, in order; each is used before the next one is asked for
 * @throws FormatError `OSTREE_OBJECT` for what is no such file, here or with the content
 */
export async function readFilez(pieces: AsyncIterable<Buffer>): Promise<SourceFile> {
  const reader = new HeadReader(pieces[Symbol.asyncIterator]());
  try {
    const prefix = await reader.atLeast(PREFIX);
    const { header, size, length } = parseSizedHeader(await reader.atLeast(headerLength(prefix)));
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(`says that it has ${size} bytes of content`);
    const rest = reader.rest(length);
    if (size === 0n) {
      await checkEmpty({ header, size, length }, rest);
      return { header, size: 0, content: { kind: 'none' } };
    }
    if (size <= WHOLE_CONTENT_LIMIT)
      return { header, size: Number(size), content: { kind: 'bytes', bytes: await inflateWhole(rest, Number(size)) } };
    return { header, size: Number(size), content: { kind: 'pieces', pieces: inflate(rest) } };
  } catch (error) {
    await reader.end();
    throw error;
  }
}

/** Reads the header, which may come in pieces, and gives what comes behind it. */
class HeadReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #head = Buffer.alloc(0);

  constructor(pieces: AsyncIterator<Buffer>) {
    this.#pieces = pieces;
  }

  /** The file from its start, so many bytes at least, or all of a shorter one. */
  async atLeast(length: number): Promise<Buffer> {
    while (this.#head.length < length) {
      const next = await this.#pieces.next();
      if (next.done === true) break;
      this.#head = Buffer.concat([this.#head, next.value]);
    }
    return this.#head;
  }

  async *rest(from: number): AsyncGenerator<Buffer, void, void> {
    try {
      if (this.#head.length > from) yield this.#head.subarray(from);
      for (let next = await this.#pieces.next(); next.done !== true; next = await this.#pieces.next()) yield next.value;
    } finally {
      await this.end();
    }
  }

  async end(): Promise<void> {
    await this.#pieces.return?.();
  }
}

async function checkEmpty({ header }: SizedHeader, rest: AsyncIterable<Buffer>): Promise<void> {
  const bytes = await gather(rest, 64);
  if (bytes.length === 0) return;
  if (isSymlink(header)) throw damaged('is a symlink with content');
  if ((await inflateAll(bytes, 0)).length > 0) throw damaged('has content, its header says that there is none');
}

async function inflateWhole(rest: AsyncIterable<Buffer>, size: number): Promise<Buffer> {
  // What deflate does not make smaller it makes larger by five bytes for every 16 KiB or more, and a few.
  return inflateAll(await gather(rest, size + Math.ceil(size / 1024) + 1024), size);
}

/** @param limit more is more than any content of its size needs */
async function gather(rest: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of rest) {
    length += piece.length;
    if (length > limit) throw damaged(`has more than ${limit} bytes behind its header`);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

/** With `info`, which the types do not know. */
const inflateAsync = promisify(inflateRaw) as unknown as (
  data: Buffer,
  options: ZlibOptions,
) => Promise<{ buffer: Buffer; engine: InflateRaw }>;

async function inflateAll(bytes: Buffer, size: number): Promise<Buffer> {
  try {
    const { buffer, engine } = await inflateAsync(bytes, { info: true, maxOutputLength: Math.max(size, 1) });
    if (engine.bytesWritten < bytes.length) throw damaged('goes on behind its content');
    return buffer;
  } catch (error) {
    throw explained(error, size);
  }
}

async function* inflate(rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const inflater = createInflateRaw({ chunkSize: OUTPUT_SIZE });
  inflater.on('error', () => undefined);
  let given = 0;
  const feed = async (): Promise<void> => {
    try {
      for await (const piece of rest) {
        given += piece.length;
        // A server could go on for ever.
        if (inflater.destroyed || inflater.readableEnded) break;
        // The inflater may keep it until it is asked for more.
        if (!inflater.write(Buffer.from(piece))) await drained(inflater);
      }
      inflater.end();
    } catch (error) {
      inflater.destroy(error as Error);
    }
  };
  const fed = feed();
  try {
    for await (const piece of inflater) yield piece as Buffer;
    await fed;
    if (inflater.bytesWritten < given) throw damaged('goes on behind its content');
  } catch (error) {
    throw explained(error, undefined);
  } finally {
    inflater.destroy();
    await fed;
  }
}

/** Until it takes more, or is not going to. */
function drained(inflater: InflateRaw): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'close', 'end']) inflater.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'end']) inflater.on(event, done);
  });
}

function explained(error: unknown, size: number | undefined): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  if (code === 'ERR_BUFFER_TOO_LARGE') return damaged(`has more content than the ${size} bytes that its header says`);
  return code.startsWith('Z_') ? damaged(`has content that cannot be inflated: ${error.message}`) : error;
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_OBJECT', `a file of the archive ${what}`);
}
