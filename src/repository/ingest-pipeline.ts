import { Batch } from '../layer/batch.js';
import { StoreFailure, type FileResult, type LayerIngest } from './objects.js';

/** A batch goes to the native pool when it holds this many files or bytes. */
const BATCH_FILES = 256;
const BATCH_BYTES = 256 * 1024;
/** So many batches may be under way; together with the limits above this bounds memory. */
const BATCHES_IN_FLIGHT = 8;
/** How often to look whether a source is silent, in the time it may be. */
const LOOKS = 4;

/** What is done with a batch that comes back; `given` is what was remembered of it. */
export interface PipelineSteps<T> {
  /** Called in the order of the batches, and not again after a failure. */
  take(results: readonly FileResult[], given: T): void | Promise<void>;
  /** Says where in what was given the pool failed, if that can be told. */
  place?(error: StoreFailure, given: T): Error | undefined;
}

/**
 * The way of content into the object store: the caller fills `batch` and submits it whenever it is full, a few batches
 * are under way at a time, and what became of their files comes back in order.
 */
export class IngestPipeline<T = void> {
  readonly batch = new Batch();
  readonly #ingest: LayerIngest;
  readonly #steps: PipelineSteps<T>;
  readonly #inFlight: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(ingest: LayerIngest, steps: PipelineSteps<T>) {
    this.#ingest = ingest;
    this.#steps = steps;
  }

  /** Whether the batch is worth submitting. */
  get isFull(): boolean {
    return this.batch.files >= BATCH_FILES || this.batch.length >= BATCH_BYTES;
  }

  /**
   * What went wrong, or undefined; with its place once that is known, which may be of a later batch than the first to
   * fail.
   */
  get failure(): unknown {
    return this.#failure;
  }

  /** Sends the batch, unless it is empty, and starts a new one. It never fails: `room` and `finish` tell. */
  submit(given: T): void {
    if (this.batch.length === 0) return;
    const results = this.#ingest.submit(this.batch);
    // A failure is seen when its turn comes; until then it must not count as unhandled.
    results.catch(() => undefined);
    this.#last = this.#last.then(() => this.#take(results, given));
    this.#inFlight.push(this.#last);
  }

  /** Waits until another batch may be submitted. @throws what went wrong */
  async room(): Promise<void> {
    while (this.#inFlight.length >= BATCHES_IN_FLIGHT) await this.#inFlight[0];
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits until all is done that was submitted. @throws what went wrong */
  async finish(): Promise<void> {
    await this.#last;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Stops the pool's work, also in the middle of a file: whoever waits for it gets an error. */
  stop(): void {
    this.#ingest.abort();
  }

  /** The same, and waits until the pool has let go of every descriptor. */
  async abandon(): Promise<void> {
    this.batch.discard();
    this.stop();
    await this.#last;
  }

  /** Stops when the signal says so, until the result is disposed. */
  stopOn(signal: AbortSignal | undefined): Disposable {
    const stop = (): void => this.stop();
    signal?.addEventListener('abort', stop, { once: true });
    return { [Symbol.dispose]: () => signal?.removeEventListener('abort', stop) };
  }

  /**
   * Looks, until the result is disposed, whether a source lets the pool wait for longer than it may.
   * @param limit milliseconds that one call on a source may take; undefined: forever
   */
  watch(limit: number | undefined): Disposable {
    if (limit === undefined) return { [Symbol.dispose]: () => undefined };
    const timer = setInterval(() => this.#ingest.endSilence(limit), limit / LOOKS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** The digest of everything, `sha256:` and hex; once, after `finish`. */
  digest(): string {
    return `sha256:${this.#ingest.digest()}`;
  }

  /** Takes objects away that were linked to files which somebody has changed since; after `abandon`. */
  async withdrawWrong(): Promise<void> {
    await this.#ingest.withdrawWrong();
  }

  async #take(results: Promise<readonly FileResult[]>, given: T): Promise<void> {
    try {
      const files = await results;
      if (this.#failure === undefined) await this.#steps.take(files, given);
    } catch (error) {
      this.#fail(error, given);
    }
    void this.#inFlight.shift();
  }

  #fail(error: unknown, given: T): void {
    const placed = error instanceof StoreFailure ? this.#steps.place?.(error, given) : undefined;
    const isPlaceOfFirst =
      placed !== undefined &&
      this.#failure instanceof StoreFailure &&
      this.#failure.code === (error as StoreFailure).code;
    if (this.#failure === undefined || isPlaceOfFirst) this.#failure = placed ?? error;
  }
}
