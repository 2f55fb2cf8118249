/**
 * Memory that several share: whoever wants some waits until there is enough, in the order of asking. More than all
 * there is can be had alone.
 */
export class MemoryRoom {
  readonly #size: number;
  #used = 0;
  readonly #waiting: { bytes: number; go: () => void }[] = [];

  /** @param size in bytes */
  constructor(size: number) {
    this.#size = size;
  }

  /** @returns gives the bytes back when it is disposed @throws the signal's reason */
  async take(bytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#fits(bytes)) await this.#turn(bytes, signal);
    else this.#used += bytes;
    let held = bytes;
    return {
      [Symbol.dispose]: () => {
        this.#used -= held;
        held = 0;
        this.#letIn();
      },
    };
  }

  #turn(bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason as Error);
        this.#letIn();
      };
      const waiting = {
        bytes,
        go: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      this.#waiting.push(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #letIn(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.go();
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#size;
  }
}
