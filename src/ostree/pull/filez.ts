// A file object of an archive repository, and of one that is served: the sized header, then the content as raw deflate
// data. Nothing comes behind the data, and behind the header of a symlink nothing at all.
import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { FormatError } from '../../errors.js';
import type { Beginning } from '../../fd/beginnings.js';
import type { Fd } from '../../fd/fd.js';
import { readAt, readBlocks } from '../../fd/read-file.js';
import { INFLATABLE } from '../../layouts.js';
import { HeaderReader, headerLength, isSymlink, type FileHeader } from '../object/file-header.js';
import { damagedArchive as damaged, explained, inflateAll } from './inflate.js';
import type { SourceFile } from './source.js';

const PREFIX = 8;
const OUTPUT_SIZE = 256 << 10;
const PIECE = 256 << 10;
/** So much of a file is read at first: the header, and all of most files. */
export const BEGINNING = 4 << 10;
/** No more deflate data are needed to say that there is no content. */
const NOTHING_DEFLATED = 64;

/**
 * Reads a .filez that comes over a connection. Its content is inflated when it is taken; that of a large file comes
 * piece by piece.
 * @param content all of the file, or its pieces in order; each is used before the next one is asked for
 * @param headers has read those of other files
 * @throws FormatError `OSTREE_OBJECT` for what is no such file, here or with the content
 */
export async function readFilez(content: Buffer | AsyncIterable<Buffer>, headers: HeaderReader): Promise<SourceFile> {
  if (content instanceof Uint8Array) return await wholeFilez(content, headers);
  const reader = new HeadReader(content[Symbol.asyncIterator]());
  try {
    const prefix = await reader.atLeast(PREFIX);
    const { header, size, length } = parseHead(await reader.atLeast(headerLength(prefix)), headers);
    const rest = reader.rest(length);
    if (size === 0) {
      await checkEmpty(header, await gather(rest, NOTHING_DEFLATED));
      return { header, size, content: { kind: 'none' } };
    }
    if (size > INFLATABLE) return { header, size, content: { kind: 'pieces', pieces: inflate(rest) } };
    return { header, size, content: { kind: 'deflated', data: await gather(rest, mostDeflated(size)) } };
  } catch (error) {
    await reader.end();
    throw error;
  }
}

/**
 * The same of one that is on this machine.
 * @param beginning its first `BEGINNING` bytes; the descriptor is closed here, or by whoever takes the content
 */
export async function openFilez(
  { size: end, bytes, fd: file }: Beginning,
  headers: HeaderReader,
  signal: AbortSignal,
): Promise<SourceFile> {
  if (file === undefined) return await wholeFilez(bytes, headers);
  using _ = file;
  const head = headerLength(bytes) <= bytes.length ? bytes : readAt(file, 0, Math.min(headerLength(bytes), end));
  if (head.length === end) return await wholeFilez(head, headers);
  const { header, size, length } = parseHead(head, headers);
  if (size === 0) {
    if (end - length > NOTHING_DEFLATED) throw tooMuch(NOTHING_DEFLATED);
    await checkEmpty(header, readAt(file, length, end - length));
    return { header, size, content: { kind: 'none' } };
  }
  if (size > INFLATABLE)
    return { header, size, content: { kind: 'pieces', pieces: inflate(blocksOf(file.move(), length, end, signal)) } };
  if (end - length > mostDeflated(size)) throw tooMuch(mostDeflated(size));
  return { header, size, content: { kind: 'deflated-file', fd: file.move(), start: length, length: end - length } };
}

async function wholeFilez(bytes: Buffer, headers: HeaderReader): Promise<SourceFile> {
  const { header, size, length } = parseHead(bytes, headers);
  const data = bytes.subarray(length);
  const most = size === 0 ? NOTHING_DEFLATED : mostDeflated(size);
  if (data.length > most && size <= INFLATABLE) throw tooMuch(most);
  if (size === 0) {
    await checkEmpty(header, data);
    return { header, size, content: { kind: 'none' } };
  }
  if (size > INFLATABLE) return { header, size, content: { kind: 'pieces', pieces: inflate([data]) } };
  return { header, size, content: { kind: 'deflated', data } };
}

/** Owns the file. */
async function* blocksOf(
  file: Fd,
  start: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  using owned = file;
  yield* readBlocks(owned, start, end, PIECE, signal);
}

function parseHead(bytes: Buffer, headers: HeaderReader): { header: FileHeader; size: number; length: number } {
  const { header, size, length } = headers.read(bytes);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(`says that it has ${size} bytes of content`);
  return { header, size: Number(size), length };
}

/** What deflate does not make smaller it makes larger by five bytes for every 16 KiB or more, and a few. */
function mostDeflated(size: number): number {
  return size + Math.ceil(size / 1024) + 1024;
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

async function checkEmpty(header: FileHeader, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return;
  if (isSymlink(header)) throw damaged('is a symlink with content');
  if ((await inflateAll(bytes, 0)).length > 0) throw damaged('has content, its header says that there is none');
}

/** @param limit more is more than any content of its size needs */
async function gather(rest: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of rest) {
    length += piece.length;
    if (length > limit) throw tooMuch(limit);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

function tooMuch(limit: number): FormatError {
  return damaged(`has more than ${limit} bytes behind its header`);
}

async function* inflate(rest: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer, void, void> {
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
