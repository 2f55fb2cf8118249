// The pipes through which content goes to a client of the proxy.
import { writeSync } from 'node:fs';
import { setMaxListeners } from 'node:events';
import { bytesSource } from '../../fd/byte-source.js';
import { Fd } from '../../fd/fd.js';
import { PipePump } from '../../fd/pipe-pump.js';
import { PROXY_PIPES_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import { errorCodeOf, messageOf, ProxyFault } from './proxy-fault.js';
import type { ProxyBlob, ProxyImage } from './proxy-image.js';
import { transfer } from './transfer.js';

/** How often to look whether the reader of a pipe still reads, while FinishPipe waits for it. */
const LOOK = 250;

/** A pipe under way. */
interface Pipe {
  pump: PipePump;
  /** settles when all is in the pipe; with what went wrong, if anything did */
  done: Promise<unknown>;
  /** ends it */
  giveUp: (reason: Error) => void;
}

/** Starts to read a blob; the signal ends that, and reading it later. */
export type OpenBlob = (signal: AbortSignal) => Promise<ProxyBlob>;

export class Pipes implements AsyncDisposable {
  readonly #idleLimit: number;
  readonly #signal: AbortSignal;
  readonly #active = new Map<number, Pipe>();
  readonly #all = new Set<Pipe>();
  #serial = 0;

  /** @param signal ends all of them */
  constructor(idleLimit: number, signal: AbortSignal) {
    this.#idleLimit = idleLimit;
    this.#signal = signal;
    setMaxListeners(0, signal);
  }

  /** Bytes that are there already, to be finished by the client. */
  async document(bytes: Buffer): Promise<{ pipeid: number; fds: Fd[] }> {
    const content = { kind: 'bytes', source: bytesSource(bytes) } as const;
    const { pipeid, fds } = await this.#start(undefined, async () => ({ size: bytes.length, content }), undefined);
    return { pipeid, fds };
  }

  /** A blob that has to be what is expected, to be finished by the client. */
  async blob(
    image: ProxyImage,
    open: OpenBlob,
    expected: { digest: string; size: number },
  ): Promise<{ pipeid: number; fds: Fd[]; size: number | undefined }> {
    return this.#start(image, open, expected);
  }

  /** A blob as it is, and a pipe that says what went wrong. Both end by themselves. */
  async rawBlob(image: ProxyImage, open: OpenBlob): Promise<{ fds: Fd[]; size: number | undefined }> {
    const [errorRead, errorWrite] = files.pipe();
    const errors = new Fd(errorWrite);
    const errorsRead = new Fd(errorRead);
    try {
      const { pipe, fds, size } = await this.#pipe(image, open, undefined);
      fds.push(errorsRead);
      void pipe.done.then(async (error) => {
        if (error !== undefined) tell(errors, error);
        await this.#close(pipe);
        errors.close();
      });
      return { fds, size };
    } catch (error) {
      errors.close();
      errorsRead.close();
      throw error;
    }
  }

  /**
   * Waits until all is in a pipe, and closes it.
   * @returns a promise that rejects with what went wrong
   * @throws ProxyFault when there is no such pipe
   */
  finish(pipeid: number): { finished: Promise<void> } {
    const pipe = this.#active.get(pipeid);
    if (pipe === undefined) throw new ProxyFault(`finishpipe: no active pipe ${pipeid}`);
    this.#active.delete(pipeid);
    const finished = this.#finish(pipe);
    // Its reply may not be due yet.
    finished.catch(() => undefined);
    return { finished };
  }

  /** Ends all. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pipes = [...this.#all];
    for (const { giveUp } of pipes) giveUp(new Error('the connection has ended'));
    await Promise.all(pipes.map((pipe) => this.#close(pipe)));
  }

  async #start(
    image: ProxyImage | undefined,
    open: OpenBlob,
    expected: { digest: string; size: number } | undefined,
  ): Promise<{ pipeid: number; fds: Fd[]; size: number | undefined }> {
    const { pipe, fds, size } = await this.#pipe(image, open, expected);
    // A number that is soon used again could be meant for the pipe that had it before.
    this.#serial = this.#serial >= 0x7fff_ffff ? 1 : this.#serial + 1;
    while (this.#active.has(this.#serial)) this.#serial++;
    this.#active.set(this.#serial, pipe);
    return { pipeid: this.#serial, fds, size };
  }

  async #pipe(
    image: ProxyImage | undefined,
    open: OpenBlob,
    expected: { digest: string; size: number } | undefined,
  ): Promise<{ pipe: Pipe; fds: Fd[]; size: number | undefined }> {
    if (this.#all.size >= PROXY_PIPES_LIMIT)
      throw new ProxyFault(`${PROXY_PIPES_LIMIT} pipes are open already; finish some of them`);
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#signal]);
    const limit = this.#idleLimit;
    const early =
      limit === 0
        ? undefined
        : setTimeout(
            () => stop.abort(new ProxyFault(`no answer for ${limit / 1000} s: the blob is given up`, 'retryable')),
            limit,
          );
    const blob = await open(signal)
      .catch((error: unknown) => {
        throw reasonOf(signal, error);
      })
      .finally(() => clearTimeout(early));
    if (this.#signal.aborted) {
      await blob.content.source[Symbol.asyncDispose]();
      throw this.#signal.reason;
    }
    const opened: Fd[] = [];
    let pump: PipePump;
    try {
      const [read, write] = files.pipe();
      opened.push(new Fd(read));
      pump = new PipePump(new Fd(write), { hash: expected !== undefined });
    } catch (error) {
      for (const fd of opened) fd.close();
      await blob.content.source[Symbol.asyncDispose]();
      throw error;
    }
    const giveUp = (reason: Error): void => {
      stop.abort(reason);
      pump.stop(reason);
    };
    image?.retain();
    const done = transfer(blob, pump, { expected, idleLimit: limit, giveUp })
      .then(
        () => undefined,
        (error: unknown) => reasonOf(signal, error),
      )
      .then(async (error) => {
        await image?.release();
        return error;
      });
    const pipe = { pump, done, giveUp };
    this.#all.add(pipe);
    return { pipe, fds: opened, size: blob.size };
  }

  async #finish(pipe: Pipe): Promise<void> {
    const watch = this.#idleLimit === 0 ? undefined : this.#watchReader(pipe);
    try {
      const error = await pipe.done;
      if (error !== undefined) throw error as Error;
    } finally {
      clearInterval(watch);
      await this.#close(pipe);
    }
  }

  /** A reader that takes nothing is not waited for longer than the limit, which begins with FinishPipe. */
  #watchReader({ pump, giveUp }: Pipe): NodeJS.Timeout {
    let since = performance.now();
    let { written } = pump;
    return setInterval(
      () => {
        if (pump.idleSince === undefined || pump.written !== written) since = performance.now();
        ({ written } = pump);
        if (performance.now() - since > this.#idleLimit)
          giveUp(new ProxyFault(`the reader took nothing for ${this.#idleLimit / 1000} s: the pipe is given up`));
      },
      Math.min(LOOK, this.#idleLimit),
    );
  }

  async #close(pipe: Pipe): Promise<void> {
    this.#all.delete(pipe);
    await pipe.done;
    await pipe.pump[Symbol.asyncDispose]();
  }
}

/** What was given up ends with why, not with how. */
function reasonOf(signal: AbortSignal, error: unknown): unknown {
  return signal.aborted ? signal.reason : error;
}

/** In a packet that a pipe always has room for. */
function tell(errors: Fd, error: unknown): void {
  try {
    writeSync(errors.number, JSON.stringify({ code: errorCodeOf(error), message: messageOf(error) }));
  } catch {
    // The client does not want to know.
  }
}
