import { describeBytes } from '../../oci/pull/stats.js';
import type { FetchProgress } from '../../ostree/pull/fetch-commit.js';
import { Pace } from '../progress-display.js';

/** Milliseconds between two changes of what is shown. */
const INTERVAL = 100;

/** Shows how far a pull of a commit is: on a terminal in a line that goes away in the end, elsewhere now and then. */
export class CommitProgress implements Disposable {
  readonly #stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;
  readonly #pace = new Pace();
  #shownAt: number | undefined;

  constructor(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>) {
    this.#stream = stream;
  }

  show(progress: FetchProgress): void {
    if (!this.#stream.isTTY) {
      if (this.#pace.isDue()) this.#stream.write(`${this.#text(progress)}\n`);
      return;
    }
    const now = performance.now();
    if (now - (this.#shownAt ?? -Infinity) < INTERVAL) return;
    this.#shownAt = now;
    this.#stream.write(`\r\x1b[K${this.#text(progress)}`);
  }

  [Symbol.dispose](): void {
    if (this.#shownAt !== undefined) this.#stream.write('\r\x1b[K');
    this.#shownAt = undefined;
  }

  #text({ metadata, files, filesLeft, bytes }: FetchProgress): string {
    const objects = `${metadata} metadata, ${files} files, ${filesLeft} to go`;
    return `${objects}, ${describeBytes(bytes)}${this.#pace.rate(bytes)}`;
  }
}
