import { once } from 'node:events';
import { Socket } from 'node:net';
import { Fd } from '../fd/fd.js';
import { files } from '../native.js';

/** Things that are kept until whoever holds the other end of a pipe closes it. */
export class Leases implements AsyncDisposable {
  readonly #running = new Set<() => Promise<void>>();

  /**
   * @param kept disposed as soon as the returned descriptor and all copies of it are closed, or with this object
   * @returns the write end of a pipe, for the client
   */
  start(kept: AsyncDisposable): Fd {
    const [read, write] = files.pipe();
    const watcher = new Socket({ fd: read, readable: true, writable: false });
    const ended = once(watcher, 'close').then(
      () => {},
      () => {},
    );
    const release = async (): Promise<void> => {
      if (!this.#running.delete(release)) return;
      watcher.destroy();
      await ended;
      await kept[Symbol.asyncDispose]();
    };
    this.#running.add(release);
    watcher.resume();
    watcher.once('close', () => void release());
    watcher.once('end', () => watcher.destroy());
    watcher.once('error', () => watcher.destroy());
    return new Fd(write);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((release) => release()));
  }
}
