import { describeBytes } from '../oci/pull/stats.js';
import type { PushEvent } from '../oci/push/types.js';
import { Pace, ProgressDisplay, short } from './progress-display.js';

interface Sending {
  pace: Pace;
  sent: number;
}

/** Shows a push on standard error: on a terminal a bar per blob, elsewhere a line for each that is done. */
export class PushProgress implements AsyncDisposable {
  readonly #display: ProgressDisplay;
  readonly #sending = new Map<string, Sending>();

  private constructor(display: ProgressDisplay) {
    this.#display = display;
  }

  static async start(stream: NodeJS.WriteStream): Promise<PushProgress> {
    return new PushProgress(await ProgressDisplay.start(stream));
  }

  show(event: PushEvent): void {
    switch (event.kind) {
      case 'progress':
        return this.#progress(event);
      case 'blob':
        return this.#done(event);
      case 'compressed-anew':
        return this.say(describeAnew(event));
      case 'continued':
        return this.say(
          event.from > 0
            ? `blob  ${short(event.name)} goes on at byte ${event.from}, where an earlier push ended`
            : `blob  ${short(event.name)} is sent anew: the registry does not tell what it has of an earlier push`,
        );
      case 'retry':
        return this.say(`blob  ${short(event.name)} is tried again: ${event.reason.message}`);
      case 'referrers-left':
        return this.say(
          `${event.digests.length} that refer to the image are not sent, since its manifest is another one ` +
            `there: ${event.digests.join(', ')}`,
        );
      case 'manifest':
        return;
    }
  }

  /** Says something in a line of its own. */
  say(text: string): void {
    this.#display.line(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#display[Symbol.asyncDispose]();
  }

  #progress({ name, done, sent, size }: PushEvent & { kind: 'progress' }): void {
    const known = this.#sending.get(name);
    const state = `${describeBytes(done)}${known?.pace.rate(sent) ?? ''}`;
    const sending = known ?? { pace: new Pace(), sent };
    sending.sent = sent;
    if (known === undefined) this.#sending.set(name, sending);
    const bar = this.#display.barFor(name, size ?? 1);
    if (bar !== undefined) {
      if (done > bar.getTotal()) bar.setTotal(done);
      bar.update(done, { state });
    } else if (sending.pace.isDue()) {
      this.say(`blob  ${short(name)} ${state}${size === undefined ? '' : ` of ${describeBytes(size)}`}`);
    }
  }

  #done({ name, blob: { digest, size, outcome } }: PushEvent & { kind: 'blob' }): void {
    const sending = this.#sending.get(name);
    const bar = this.#display.bar(name);
    const state =
      outcome === 'present'
        ? 'already there'
        : outcome === 'mounted'
          ? 'taken over from another repository'
          : `${describeBytes(sending?.sent ?? size)}${sending?.pace.rate(sending.sent) ?? ''}`;
    if (bar !== undefined) bar.update(bar.getTotal(), { state });
    else if (this.#display.hasBars) this.#display.addFullBar(digest, state);
    else this.say(`blob  ${short(digest)} ${state}`);
  }
}

function describeAnew({ diffId, was, why }: PushEvent & { kind: 'compressed-anew' }): string {
  const reason = {
    'not-kept':
      `its blob ${short(was)} is not in the repository; "oci pull --keep-blobs" keeps it, and a later pull of the ` +
      'image by cfsctl lets go of it',
    'asked-for': 'another compression was asked for',
    destination: 'this destination takes plain tars only',
  }[why];
  return `layer ${short(diffId)} is compressed anew: ${reason}`;
}
