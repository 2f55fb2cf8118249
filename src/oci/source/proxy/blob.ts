// What comes out of a proxy's pipes.
import * as z from 'zod';
import { printable } from '../../../bytes.js';
import { FormatError } from '../../../errors.js';
import { sourceFromFd, type ByteSource } from '../../../fd/byte-source.js';
import { SocketError, type Fd } from '../../../fd/fd-passing.js';
import { leaveAlone } from '../../../fd/left-alone.js';
import { PROXY_ERROR_LIMIT } from '../../../limits.js';
import { proxyMethods, rawBlobError } from '../../../rpc/contracts/image-proxy.js';
import type { ProxyAnswer } from '../../../rpc/proxy/client.js';
import { ProxyError } from '../../../rpc/proxy/proxy-error.js';
import { RpcProtocolError } from '../../../rpc/rpc-error.js';
import { orSilence, withSilenceLimit } from '../silence.js';
import type { ProxyProcess } from './process.js';

/** A blob as it is asked for. */
interface Wanted {
  digest: string;
  /** in bytes; undefined: nobody knows */
  size: number | undefined;
}

export interface PipeOptions {
  signal: AbortSignal;
  /** milliseconds */
  silenceLimit: number;
}

/**
 * Starts reading a blob, unverified by anybody: as many bytes come as are wanted, or an error.
 * @throws ProxyError and others as `ProxyClient.request`
 */
export async function openProxyBlob(
  proxy: ProxyProcess,
  image: number,
  wanted: Wanted,
  options: PipeOptions,
): Promise<ByteSource> {
  const { client } = proxy;
  const { digest, size } = wanted;
  try {
    if (client.knows(proxyMethods.GetRawBlob)) {
      const { fds } = await client.request(proxyMethods.GetRawBlob, [image, digest], options);
      return new ProxyBlob(proxy, wanted, rawPipes(fds, `blob ${digest}`, options));
    }
    const answer = await client.request(proxyMethods.GetBlob, [image, digest, size ?? 0], options);
    return new ProxyBlob(proxy, wanted, finishedPipe(proxy, answer, options));
  } catch (error) {
    throw await proxy.explain(naming(`blob ${digest}`, error));
  }
}

/**
 * Reads a pipe that FinishPipe ends, to its end.
 * @param what names it in messages
 * @throws FormatError `FILE_TOO_LARGE`; as `ProxyClient.finishPipe`
 */
export async function readProxyPipe(
  proxy: ProxyProcess,
  answer: ProxyAnswer<unknown>,
  what: string,
  limit: number,
  options: PipeOptions,
): Promise<Buffer> {
  const pipe = finishedPipe(proxy, answer, options);
  try {
    const bytes = await wholeOf(pipe.content, what, limit);
    await pipe.atEnd();
    return bytes;
  } catch (error) {
    throw await proxy.explain(naming(what, pipe.said() ?? error));
  } finally {
    await pipe.drop();
  }
}

/** Content, and what is due after its last byte. */
interface Pipe {
  content: ByteSource;
  /** @throws what was wrong with the content */
  atEnd(): Promise<void>;
  /** What the proxy has said about it so far. */
  said(): ProxyError | undefined;
  /** Closes what is open. Harmless when repeated. */
  drop(): Promise<void>;
}

/** FinishPipe is asked for at once: without it the pipe has no end, and it is answered only when all has been read. */
function finishedPipe(proxy: ProxyProcess, { pipeid, fds }: ProxyAnswer<unknown>, options: PipeOptions): Pipe {
  let read = (): void => {};
  const reading = new Promise<void>((resolve) => (read = resolve));
  const content = pipeSource(fds, options);
  const finished = proxy.client.finishPipe(pipeid, reading);
  let said: ProxyError | undefined;
  finished.catch((error: unknown) => (said = error instanceof ProxyError ? error : undefined));
  return {
    content,
    said: () => said,
    atEnd: async () => {
      read();
      await finished;
    },
    drop: async () => {
      read();
      await content[Symbol.asyncDispose]();
    },
  };
}

/** The second pipe says what went wrong, and must be read lest its writer waits. */
function rawPipes(fds: Fd[], what: string, options: PipeOptions): Pipe {
  const content = pipeSource(fds, options);
  let errors: ByteSource;
  try {
    errors = sourceFromFd(fds.shift()!);
  } catch (error) {
    leaveAlone(content[Symbol.asyncDispose]());
    throw error;
  }
  const text = wholeOf(errors, 'the error of a blob', PROXY_ERROR_LIMIT);
  text.catch(() => undefined);
  return {
    content,
    said: () => undefined,
    atEnd: async () => {
      const error = errorIn(await orSilence(text, options.silenceLimit, options.signal), what);
      if (error !== undefined) throw error;
    },
    drop: async () => {
      await Promise.all([content[Symbol.asyncDispose](), errors[Symbol.asyncDispose]()]);
    },
  };
}

/** Takes the first descriptor; all are closed when this throws. */
function pipeSource(fds: Fd[], { silenceLimit, signal }: PipeOptions): ByteSource {
  try {
    return withSilenceLimit(sourceFromFd(fds.shift()!), silenceLimit, signal);
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}

function errorIn(text: Buffer, what: string): Error | undefined {
  if (text.length === 0) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text.toString('utf8'));
  } catch {
    json = undefined;
  }
  const { data } = rawBlobError.safeParse(json);
  if (data === undefined)
    return new RpcProtocolError(
      'INVALID_MESSAGE',
      `${what}: the image proxy reports an error in words that are not its protocol: ` +
        printable(text.toString('utf8', 0, 200)),
    );
  // Everything was read, so it only says that the server had more to write.
  return data.code === 'EPIPE' ? undefined : new ProxyError(what, data.message, data.code);
}

async function wholeOf(source: ByteSource, what: string, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of source) {
    length += piece.length;
    if (length > limit)
      throw new FormatError('FILE_TOO_LARGE', `${what} is longer than ${limit} bytes, and no more are accepted`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length);
}

/** An error of the proxy with what was asked for in our words instead of the protocol's. */
export function naming(what: string, error: unknown): unknown {
  return error instanceof ProxyError ? new ProxyError(what, error.said, error.kind) : error;
}

class ProxyBlob implements ByteSource {
  readonly #proxy: ProxyProcess;
  readonly #wanted: Wanted;
  readonly #pipe: Pipe;

  constructor(proxy: ProxyProcess, wanted: Wanted, pipe: Pipe) {
    this.#proxy = proxy;
    this.#wanted = wanted;
    this.#pipe = pipe;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { digest, size } = this.#wanted;
    let length = 0;
    try {
      for await (const piece of this.#pipe.content) {
        length += piece.length;
        if (size !== undefined && length > size) throw wrongSize(digest, 'more than', size);
        yield piece;
      }
      await this.#pipe.atEnd().catch((error: unknown) => {
        if (size !== undefined || !isOnlySize(error, length)) throw error;
      });
      if (size === undefined || length === size) return;
      // A proxy that died has ended its pipes, too.
      if (await this.#proxy.ended()) throw new SocketError('PEER_GONE', `the image proxy ended within blob ${digest}`);
      throw wrongSize(digest, `${length} bytes instead of`, size);
    } catch (error) {
      throw await this.#proxy.explain(naming(`blob ${digest}`, this.#pipe.said() ?? error));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pipe.drop();
  }
}

/** Of a blob whose size nobody knew when it was asked for, the proxy says in the end how large it is. */
function isOnlySize(error: unknown, length: number): boolean {
  return error instanceof ProxyError && SIZE.exec(error.said)?.[1] === String(length);
}

const SIZE = /^expected \d+ bytes in blob, got (\d+)$/;

function wrongSize(digest: string, what: string, size: number): FormatError {
  return new FormatError('BLOB_SIZE', `blob ${digest} comes from the image proxy with ${what} ${size} bytes`);
}

/** Layers as GetLayerInfoPiped sends them. @throws RpcProtocolError `INVALID_RESULT` */
export function parseLayers(text: Buffer): z.infer<typeof proxyMethods.GetLayerInfo.value> {
  try {
    return proxyMethods.GetLayerInfo.value.parse(JSON.parse(text.toString('utf8')));
  } catch (cause) {
    throw new RpcProtocolError('INVALID_RESULT', 'the image proxy sends a list of layers that is none', { cause });
  }
}
