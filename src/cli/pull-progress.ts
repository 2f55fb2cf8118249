import { describeLateMark } from '../oci/image/mark-order.js';
import type { PullEvent } from '../oci/pull/types.js';
import { describeBytes } from '../oci/pull/stats.js';
import { describeOtherPlatform } from '../oci/pull/other-platform.js';
import type { FetchProgress } from '../oci/source/registry-blob.js';
import { Pace, ProgressDisplay, short } from './progress-display.js';

/**
 * Shows a pull on standard error: on a terminal a bar per layer, or per blob where these come over a network; elsewhere
 * a line for each that is done.
 */
export class PullProgress implements AsyncDisposable {
  readonly #display: ProgressDisplay;
  readonly #fetches = new Map<string, Pace>();
  readonly #shown: 'layers' | 'blobs';

  private constructor(display: ProgressDisplay, shown: 'layers' | 'blobs') {
    this.#display = display;
    this.#shown = shown;
  }

  static async start(stream: NodeJS.WriteStream, shown: 'layers' | 'blobs'): Promise<PullProgress> {
    return new PullProgress(await ProgressDisplay.start(stream), shown);
  }

  show(event: PullEvent): void {
    switch (event.kind) {
      case 'layers':
        if (this.#shown === 'layers')
          for (const { diffId, size } of event.layers) this.#display.barFor(diffId, size ?? 1);
        return;
      case 'progress':
        return this.#display.advance(event.diffId, event.done);
      case 'present':
        return this.#done(event.diffId, 'already there');
      case 'imported':
        return this.#done(
          event.diffId,
          `${event.stats.entries} entries, ${describeBytes(event.stats.tarBytes)}, verified`,
        );
      case 'unverified':
        return this.say(`layer ${event.diffId} is really ${event.actual}; taken unverified, as was asked for`);
      case 'late-mark':
        return this.say(describeLateMark(event));
      case 'platform':
        return this.say(describeOtherPlatform(event));
      case 'image':
        return this.say(`image ${event.id}`);
    }
  }

  /** Shows how far a blob is. */
  fetched({ digest, size, fetched, done }: FetchProgress): void {
    let pace = this.#fetches.get(digest);
    // At the first bytes nobody knows how fast they come.
    const rate = pace?.rate(fetched) ?? '';
    if (pace === undefined) this.#fetches.set(digest, (pace = new Pace()));
    if (this.#display.hasBars) {
      this.#display.barFor(digest, size)?.update(done, { state: `${describeBytes(done)}${rate}` });
    } else if (done === size && rate !== '') {
      const kept = done - fetched;
      this.say(
        `blob  ${short(digest)} ${describeBytes(fetched)}${rate}` +
          `${kept > 0 ? `; ${describeBytes(kept)} were here from an earlier pull` : ''}`,
      );
    } else if (pace.isDue()) {
      this.say(`blob  ${short(digest)} ${describeBytes(done)} of ${describeBytes(size)}${rate}`);
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
    else if (this.#display.hasBars && this.#shown === 'blobs') this.#display.addFullBar(diffId, state);
    else this.say(`layer ${short(diffId)} ${state}`);
  }
}
