import type { FetchProgress } from '../../ostree/pull/fetch-commit.js';

/** Milliseconds between two changes of what is shown. */
const INTERVAL = 100;

/** Shows on a terminal how far a pull of a commit is, in a line that goes away in the end. */
export class CommitProgress implements Disposable {
  readonly #stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;
  #shownAt: number | undefined;

  constructor(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>) {
    this.#stream = stream;
  }

  show({ metadata, files, filesLeft }: FetchProgress): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - (this.#shownAt ?? -Infinity) < INTERVAL) return;
    this.#shownAt = now;
    this.#stream.write(`\r\x1b[K${metadata} metadata, ${files} files, ${filesLeft} to go`);
  }

  [Symbol.dispose](): void {
    if (this.#shownAt !== undefined) this.#stream.write('\r\x1b[K');
    this.#shownAt = undefined;
  }
}
