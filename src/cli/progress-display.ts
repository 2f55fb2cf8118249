import type { MultiBar, SingleBar } from 'cli-progress';
import { printable } from '../bytes.js';
import { describeBytes } from '../oci/pull/stats.js';

const SHORT_DIGEST = 'sha256:'.length + 12;
/** Elsewhere than on a terminal a blob that takes long says so now and then. */
const SAID_EVERY_MS = 10_000;

/** What of a digest is shown. */
export function short(digest: string): string {
  return digest.slice(0, SHORT_DIGEST);
}

/** How fast something moves that began when this was made. */
export class Pace {
  readonly #began = performance.now();
  #said = this.#began;

  /** For a line about so many bytes that moved since; empty in the first moment. */
  rate(bytes: number): string {
    const passed = performance.now() - this.#began;
    return passed === 0 ? '' : `, ${describeBytes(Math.round((bytes / passed) * 1000))}/s`;
  }

  /** Whether nothing was said of it for long. If so, something is said now. */
  isDue(): boolean {
    const now = performance.now();
    const due = now - this.#said >= SAID_EVERY_MS;
    if (due) this.#said = now;
    return due;
  }
}

/** On a terminal bars, by what they are of, and lines below them; elsewhere lines alone. */
export class ProgressDisplay implements AsyncDisposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #bars: MultiBar | undefined;
  readonly #bar = new Map<string, SingleBar>();
  /** What is said below the bars when they stand still. */
  readonly #remarks: string[] = [];

  private constructor(stream: NodeJS.WriteStream, bars: MultiBar | undefined) {
    this.#stream = stream;
    this.#bars = bars;
  }

  static async start(stream: NodeJS.WriteStream): Promise<ProgressDisplay> {
    return new ProgressDisplay(stream, stream.isTTY ? await startBars(stream) : undefined);
  }

  get hasBars(): boolean {
    return this.#bars !== undefined;
  }

  /** The bar of something, if it has one. */
  bar(digest: string): SingleBar | undefined {
    return this.#bar.get(digest);
  }

  /** The bar of something, which is made where it has none. @returns undefined where there are no bars */
  barFor(digest: string, total: number): SingleBar | undefined {
    let bar = this.#bar.get(digest);
    if (bar === undefined && this.#bars !== undefined)
      this.#bar.set(digest, (bar = this.#bars.create(total, 0, { layer: short(digest), state: '' })));
    return bar;
  }

  /** A bar of what was done before it had one. */
  addFullBar(digest: string, state: string): void {
    this.#bars?.create(1, 1, { layer: short(digest), state });
  }

  /** Moves the bar of something, if it has one, of which `done` bytes are through, perhaps more than were announced. */
  advance(digest: string, done: number): void {
    const bar = this.bar(digest);
    if (!bar) return;
    if (done > bar.getTotal()) bar.setTotal(done);
    bar.update(done, { state: describeBytes(done) });
  }

  line(said: string): void {
    const text = `${printable(said)}\n`;
    if (this.#bars) this.#remarks.push(text);
    else this.#stream.write(text);
  }

  /** Leaves the terminal as it should be. May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#bars?.stop();
    for (const remark of this.#remarks.splice(0)) this.#stream.write(remark);
  }
}

async function startBars(stream: NodeJS.WriteStream): Promise<MultiBar> {
  const { default: progress } = await import('cli-progress');
  return new progress.MultiBar({
    stream,
    format: '{layer} [{bar}] {percentage}% {state}',
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    hideCursor: true,
    clearOnComplete: false,
    stopOnComplete: false,
    // Ctrl-C is the command's own business.
    gracefulExit: false,
  });
}
