/** Milliseconds between two changes of what is shown. */
const INTERVAL = 100;

/** Shows on a terminal how many objects are done, in a line that goes away in the end. Elsewhere it says nothing. */
export class CountProgress implements Disposable {
  readonly #stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;
  #shownAt: number | undefined;

  constructor(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>) {
    this.#stream = stream;
  }

  show(objects: number): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - (this.#shownAt ?? -Infinity) < INTERVAL) return;
    this.#shownAt = now;
    this.#stream.write(`\r${objects} objects`);
  }

  [Symbol.dispose](): void {
    if (this.#shownAt !== undefined) this.#stream.write('\r\x1b[K');
  }
}
