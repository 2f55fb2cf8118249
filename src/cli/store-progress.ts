import { describeBytes } from '../oci/pull/stats.js';
import type { StoreEvent } from '../oci/store/types.js';
import { ProgressDisplay, short } from './progress-display.js';

/** Shows on standard error how an image comes into a store: on a terminal a bar per layer, elsewhere a line for each. */
export class StoreProgress implements AsyncDisposable {
  readonly #display: ProgressDisplay;

  private constructor(display: ProgressDisplay) {
    this.#display = display;
  }

  static async start(stream: NodeJS.WriteStream): Promise<StoreProgress> {
    return new StoreProgress(await ProgressDisplay.start(stream));
  }

  show(event: StoreEvent): void {
    switch (event.kind) {
      case 'layers':
        for (const { diffId, size } of event.layers) this.#display.barFor(diffId, size ?? 1);
        return;
      case 'progress':
        return this.#display.advance(event.diffId, event.done);
      case 'reused':
        return this.#done(event.diffId, 'already there');
      case 'written':
        return this.#done(event.diffId, `${describeBytes(event.extracted.size)}, verified`);
    }
  }

  /** Says something in a line of its own. */
  say(text: string): void {
    this.#display.line(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#display[Symbol.asyncDispose]();
  }

  #done(diffId: string, state: string): void {
    const bar = this.#display.bar(diffId);
    if (bar) bar.update(bar.getTotal(), { state });
    else this.say(`layer ${short(diffId)} ${state}`);
  }
}
