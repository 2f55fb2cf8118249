import type { MultiBar, SingleBar } from 'cli-progress';
import type { PullEvent } from '../oci/pull/types.js';
import { describeBytes } from '../oci/pull/stats.js';

const SHORT_DIGEST = 'sha256:'.length + 12;

/** Shows a pull on standard error: a bar per layer on a terminal, a line per finished layer elsewhere. */
export class PullProgress implements AsyncDisposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #bars: MultiBar | undefined;
  readonly #bar = new Map<string, SingleBar>();
  /** What is said below the bars when they stand still. */
  readonly #remarks: string[] = [];

  private constructor(stream: NodeJS.WriteStream, bars: MultiBar | undefined) {
    this.#stream = stream;
    this.#bars = bars;
  }

  static async start(stream: NodeJS.WriteStream): Promise<PullProgress> {
    if (!stream.isTTY) return new PullProgress(stream, undefined);
    const { default: progress } = await import('cli-progress');
    const bars = new progress.MultiBar(
      {
        stream,
        format: '{layer} [{bar}] {percentage}% {state}',
        barCompleteChar: '=',
        barIncompleteChar: ' ',
        hideCursor: true,
        clearOnComplete: false,
        stopOnComplete: false,
        // Ctrl-C is the command's own business.
        gracefulExit: false,
      },
    );
    return new PullProgress(stream, bars);
  }

  show(event: PullEvent): void {
    switch (event.kind) {
      case 'layers':
        if (!this.#bars) return;
        for (const { diffId, size } of event.layers) {
          if (!this.#bar.has(diffId)) this.#bar.set(diffId, this.#bars.create(size ?? 1, 0, { layer: short(diffId), state: '' }));
        }
        return;
      case 'progress':
        return this.#progress(event.diffId, event.done);
      case 'present':
        return this.#done(event.diffId, 'already there');
      case 'imported':
        return this.#done(event.diffId, `${event.stats.entries} entries, ${describeBytes(event.stats.tarBytes)}, verified`);
      case 'unverified':
        return this.#line(`layer ${event.diffId} is really ${event.actual}; taken unverified, as was asked for`);
      case 'image':
        return this.#line(`image ${event.id}`);
    }
  }

  /** Leaves the terminal as it should be. May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#bars?.stop();
    for (const remark of this.#remarks.splice(0)) this.#stream.write(remark);
  }

  #progress(diffId: string, done: number): void {
    const bar = this.#bar.get(diffId);
    if (!bar) return;
    if (done > bar.getTotal()) bar.setTotal(done);
    bar.update(done, { state: describeBytes(done) });
  }

  #done(diffId: string, state: string): void {
    const bar = this.#bar.get(diffId);
    if (bar) bar.update(bar.getTotal(), { state });
    else this.#line(`layer ${short(diffId)} ${state}`);
  }

  #line(text: string): void {
    if (this.#bars) this.#remarks.push(`${text}\n`);
    else this.#stream.write(`${text}\n`);
  }
}

function short(diffId: string): string {
  return diffId.slice(0, SHORT_DIGEST);
}
